-- Which targets have a history: switched on and off by the configuration, whose it is and who may
-- read it.

create or replace function pgpipe_internal.history_name(schema name, entity name)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$ select format('%I.%I', schema, pgpipe_internal.derived_name(entity, '_history')) $$;
comment on function pgpipe_internal.history_name(name, name) is
    'SQL text: the table that keeps the versions of a target''s rows.';

create or replace function pgpipe_internal.history_of_another(target regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('the history %s belongs to %I, and %s to %I: run alter table %1$s owner to %4$I',
                  known.history, pg_catalog.pg_get_userbyid(held.relowner), target,
                  pg_catalog.pg_get_userbyid(class.relowner))
      from pg_catalog.pg_class class
      join pg_catalog.pg_namespace home on home.oid = class.relnamespace
      join pgpipe.history known
        on class.oid = known.target
           or known.history = to_regclass(pgpipe_internal.history_name(home.nspname,
                                                                       class.relname))
      join pg_catalog.pg_class held on held.oid = known.history
     where class.oid = history_of_another.target and held.relowner <> class.relowner
     limit 1
$$;
comment on function pgpipe_internal.history_of_another(regclass) is
    'That a target and its history belong to two roles, and what to do; null if they do not.';

create or replace function pgpipe_internal.history_obstacle(
    schema name, entity name, target regclass, added name[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(
        (select format('history = true keeps versions in %s, which belongs to the owner of %s: '
                       'load as %I, or as a member of it', named.history, target,
                       pg_catalog.pg_get_userbyid(class.relowner))
           from pg_catalog.pg_class class
          where class.oid = target and not pg_has_role(class.relowner, 'usage')),
        (select format('%s is there already and is not the history of %I.%I: rename it, or write '
                       'history = false', named.history, schema, entity)
          where to_regclass(named.history) is not null
            and not exists (
                select from pgpipe.history known
                  left join pg_catalog.pg_class class on class.oid = known.target
                 where known.history = to_regclass(named.history)
                   and (known.target = history_obstacle.target or class.oid is null))),
        pgpipe_internal.history_of_another(target),
        (select format('the column name %I is taken by the history of %I.%I: rename the column',
                       taken.name, schema, entity)
           from (select item.attname as name from pg_catalog.pg_attribute item
                  where item.attrelid = target and not item.attisdropped
                  union all select unnest(added)) taken
          where taken.name = any ('{pgpipe_valid_from,pgpipe_from_date,pgpipe_began,
                                    pgpipe_valid_to,pgpipe_to_date,pgpipe_ended}') limit 1))
      from (select pgpipe_internal.history_name(schema, entity) as history) named
$$;
comment on function pgpipe_internal.history_obstacle(name, name, regclass, name[]) is
    'Why no history of a target can be kept, and what to do; null if it can. The target is null if '
    'it is not there yet. `added` are columns of the files.';

create or replace function pgpipe_internal.share_history(target regclass, history regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    change record;
begin
    -- Policies are conditions of the target's rows: who is restricted by them reads no version.
    for change in
        with class as (
            select known.* from pg_catalog.pg_class known
             where known.oid in (share_history.target, share_history.history)
        ), reader as (
            select class.oid, class.relowner, class.relrowsecurity, item.grantee
              from class cross join lateral aclexplode(
                   coalesce(class.relacl, acldefault('r', class.relowner))) item
             where item.privilege_type = 'SELECT' and item.grantee <> class.relowner
        )
        select reader.grantee, true as is_wanted from reader
         where reader.oid = share_history.target and not reader.relrowsecurity
        except
        select reader.grantee, true from reader where reader.oid = share_history.history
        union all
        (select reader.grantee, false from reader where reader.oid = share_history.history
         except
         select reader.grantee, false from reader
          where reader.oid = share_history.target and not reader.relrowsecurity)
    loop
        execute format(case when change.is_wanted then 'grant select on %s to %s'
                            else 'revoke select on %s from %s' end, history,
                       case change.grantee when 0 then 'public'
                       else quote_ident(pg_catalog.pg_get_userbyid(change.grantee)) end);
    end loop;
end
$$;
comment on function pgpipe_internal.share_history(regclass, regclass) is
    'Lets exactly those read a history who may read all columns of its target. If the target has '
    'row level security, these are its owner alone.';

drop function if exists pgpipe_internal.own_history(regclass, regclass);

create or replace function pgpipe_internal.may_read_history(history regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pgpipe.history known
                    where known.history = may_read_history.history
                      and has_table_privilege(known.target, 'select')
                      and not row_security_active(known.target))
$$;
comment on function pgpipe_internal.may_read_history(regclass) is
    'Policy of a history: who may read its target now, whole, reads it.';

create or replace function pgpipe_internal.make_history(name text)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format($sql$
        create table %s (
            pgpipe_valid_from timestamptz not null,
            pgpipe_from_date  date,
            pgpipe_began      text not null check (pgpipe_began in ('insert', 'update')),
            pgpipe_valid_to   timestamptz check (pgpipe_valid_to >= pgpipe_valid_from),
            pgpipe_to_date    date,
            pgpipe_ended      text check (pgpipe_ended in ('update', 'delete')),
            check ((pgpipe_valid_to is null) = (pgpipe_ended is null))) $sql$, name);
    -- What ends together lies together. A B-tree took 1 µs more a version.
    execute format('create index on %s using brin (pgpipe_valid_to) '
                   'where pgpipe_valid_to is not null', name);
    -- A right that is taken away counts at once; those who have the owner's rights read always.
    execute format('alter table %s enable row level security', name);
    execute format('create policy pgpipe_reader on %s for select '
                   'using ((select pgpipe_internal.may_read_history(%L::regclass)))', name, name);
    execute format('comment on table %s is %L', name,
                   'Versions of rows that `pgpipe load` keeps, with the time of the load and the '
                   'date of the files that began and ended each.');
    return name::regclass;
end
$$;
comment on function pgpipe_internal.make_history(text) is
    'Makes the table of a history, without a column of its target.';

create or replace function pgpipe_internal.index_history(history regclass, key name[])
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    schema text;
    name text;
begin
    select class.relnamespace::regnamespace::text,
           pgpipe_internal.derived_name(class.relname, '_' || left(md5(key::text), 8))
      into schema, name from pg_catalog.pg_class class where class.oid = history;
    if to_regclass(format('%s.%I', schema, name)) is null then  -- another key, another index
        execute format('create index %I on %s (%s) where pgpipe_valid_to is null', name, history,
                       pgpipe_internal.column_list(key));
    end if;
end
$$;
comment on function pgpipe_internal.index_history(regclass, name[]) is
    'Sees to it that the present version of a row is found by its key.';

create or replace function pgpipe_internal.watch_history(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not exists (select from pg_catalog.pg_trigger fired
                    where fired.tgrelid = target and fired.tgname = 'pgpipe_history') then
        execute format('create trigger pgpipe_history after insert or update or delete or truncate '
                       'on %s for each statement '
                       'execute function pgpipe_internal.mark_history()', target);
    end if;
end
$$;
comment on function pgpipe_internal.watch_history(regclass) is
    'Notes who writes a target from now on.';

create or replace function pgpipe_internal.start_history(target regclass, keep interval)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known regclass := (pgpipe_internal.active_history(target)).history;
    name text := (select pgpipe_internal.history_name(home.nspname, class.relname)
                    from pg_catalog.pg_class class
                    join pg_catalog.pg_namespace home on home.oid = class.relnamespace
                   where class.oid = target);
    kept regclass := coalesce(known, (
        select held.history from pgpipe.history held
          join pg_catalog.pg_class class on class.oid = held.history
         where held.target = start_history.target), to_regclass(name));
begin
    if kept is null then
        delete from pgpipe.history held where held.target = start_history.target;
        kept := pgpipe_internal.make_history(name);
        execute format('alter table %s owner to %I', kept, (
            select pg_catalog.pg_get_userbyid(class.relowner) from pg_catalog.pg_class class
             where class.oid = target));
    end if;
    -- A table that was dropped leaves its history to the one that takes its place.
    update pgpipe.history held set target = start_history.target where held.history = kept;
    insert into pgpipe.history as held (target, history, keep, since, written_at)
    values (target, kept, keep, now(), now())
        on conflict on constraint history_pkey do update
           set keep = excluded.keep,
               pauses = held.pauses * tstzmultirange(tstzrange(null, now()));
    perform pgpipe_internal.watch_history(target);
end
$$;
comment on function pgpipe_internal.start_history(regclass, interval) is
    'Begins a history, or goes on with it. Between a stop and this moment it answers nothing.';

create or replace function pgpipe_internal.stop_history(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone boolean;
begin
    delete from pgpipe.history held
     where held.target = stop_history.target
       and not exists (select from pg_catalog.pg_class class where class.oid = held.history);
    gone := found;
    update pgpipe.history held
       set pauses = held.pauses + tstzmultirange(tstzrange(now(), null))
     where held.target = stop_history.target and not upper_inf(held.pauses);
    if found or gone then
        execute format('drop trigger if exists pgpipe_history on %s', target);
        delete from pgpipe.history_mark mark where mark.target = stop_history.target;
    end if;
end
$$;
comment on function pgpipe_internal.stop_history(regclass) is
    'Ends the keeping of a history. What it has stays; from now on it answers nothing.';

create or replace function pgpipe_internal.set_history(
    target regclass, key name[], wanted boolean, keep interval)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    was_kept boolean := (pgpipe_internal.active_history(target)).target is not null;
    kept regclass;
    obstacle text := (select case when wanted
                             then pgpipe_internal.history_obstacle(home.nspname, class.relname,
                                                                   target, '{}')
                             when wanted is null and exists (
                                 select from pgpipe.history known
                                  where known.target = class.oid and not upper_inf(known.pauses))
                             then pgpipe_internal.history_of_another(target) end
                        from pg_catalog.pg_class class
                        join pg_catalog.pg_namespace home on home.oid = class.relnamespace
                       where class.oid = target);
begin
    if obstacle is not null then
        raise exception '%', obstacle using errcode = 'PP014';
    elsif wanted then
        perform pgpipe_internal.refuse_distributed(target, 'a history', 'Leave `history` out.');
        perform pgpipe_internal.start_history(target, keep);
    elsif not wanted then
        perform pgpipe_internal.stop_history(target);
    end if;
    kept := (pgpipe_internal.active_history(target)).history;
    if kept is not null and (pgpipe_internal.follow_shape(target, kept) or not was_kept) then
        insert into pgpipe.history_mark (target, transaction, nested)
        values (target, pg_current_xact_id(), true) on conflict do nothing;
    end if;
    perform pgpipe_internal.index_history(kept, key), pgpipe_internal.share_history(target, kept);
end
$$;
comment on function pgpipe_internal.set_history(regclass, name[], boolean, interval) is
    'Switches the history of a target on or off, as the configuration says; null leaves it as it '
    'is. A history that begins, or that gets a column, is compared with all rows at the end of '
    'the load. Raises PP014 if none can be kept.';
