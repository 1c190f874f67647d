-- Loads that run: whether one is alive, or was broken off.

create or replace function pgpipe_internal.is_load_locked(schema name, entity text)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_locks held
          join pg_catalog.pg_database here
            on here.oid = held.database and here.datname = current_database()
         where held.locktype = 'advisory' and held.objsubid = 2 and held.granted
           and held.classid = (hashtext('pgpipe load')::bigint & 4294967295)::oid
           and held.objid = (hashtext(format('%I.%I', schema, entity))::bigint & 4294967295)::oid)
$$;
comment on function pgpipe_internal.is_load_locked(name, text) is
    'Whether a session holds the lock that a load of this entity holds while it runs.';

create or replace function pgpipe_internal.is_load_alive(
    schema name, entity text, alive_at timestamptz)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A standby knows no locks of its primary server. What it has not replayed yet may hold a newer
    -- sign of life.
    select case when not pg_catalog.pg_is_in_recovery()
                then pgpipe_internal.is_load_locked(schema, entity)
                else coalesce(alive_at > case
                    when pg_catalog.pg_last_wal_receive_lsn()
                         > pg_catalog.pg_last_wal_replay_lsn()
                    then pg_catalog.pg_last_xact_replay_timestamp() else now() end
                    - interval '1 minute', false) end
$$;
comment on function pgpipe_internal.is_load_alive(name, text, timestamptz) is
    'Whether a load that has not ended is running. The primary server knows by the load''s lock, a '
    'standby by the time at which the load last said that it is alive.';

create or replace function pgpipe_internal.broken_off(alive_at timestamptz)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select 'broken off: it last said that it is alive '
           || coalesce(to_char(alive_at at time zone 'UTC', '"at" YYYY-MM-DD HH24:MI:SS "UTC"'),
                       'at an unknown time')
$$;
comment on function pgpipe_internal.broken_off(timestamptz) is
    'The error of a load that neither ended nor runs.';
