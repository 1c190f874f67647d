-- Rights that a worker lacks on tables which pgpipe does not own, and vectors that nobody needs.

create or replace function pgpipe_internal.lacking_grants(e pgpipe.embedding, worker oid)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with queue as (  -- it locks rows for a worker that may not update them
        select routine.proowner as role from pg_catalog.pg_proc routine
         where routine.proname = 'note_fingerprint'
           and routine.pronamespace = 'pgpipe_internal'::regnamespace
           and not has_any_column_privilege(worker, e.target, 'update')
    ), lacking (place, role, statement) as (
        select 1, needy.role, format('grant usage on schema %s', home.relnamespace::regnamespace)
          from pg_catalog.pg_class home
         cross join lateral (select worker union select queue.role from queue) needy (role)
         where home.oid = e.target
           and not has_schema_privilege(needy.role, home.relnamespace, 'usage')
        union all
        select 2, worker, format('grant select on %s', e.target)
         where not has_table_privilege(worker, e.target, 'select')
        union all
        select 3, worker, format('grant select, insert, update, delete on %s', e.store)
         where exists (select from unnest('{select,insert,update,delete}'::text[]) wanted
                        where not has_table_privilege(worker, e.store, wanted))
        union all
        select 4, queue.role, format('grant select (ctid, tableoid), update (%I) on %s',
                                     e.key_columns[1], e.target)
          from queue
         where not has_any_column_privilege(queue.role, e.target, 'update')
    )
    select format('rights are missing for %s: as their owner, %s',
                  string_agg(distinct lacking.role::regrole::text, ' and '),
                  string_agg(format('%s to %s', lacking.statement, lacking.role::regrole), '; '
                             order by lacking.place, lacking.role::regrole::text))
      from lacking having count(*) > 0
$$;
comment on function pgpipe_internal.lacking_grants(pgpipe.embedding, oid) is
    'What the role that embeds, and pgpipe_queue, may not do with an embedding''s tables, and what '
    'to grant; null if nothing is missing. It happens if another role owns the table.';

create or replace function pgpipe_internal.warn_of_lacking_grants(e pgpipe.embedding)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    missing text := pgpipe_internal.lacking_grants(e, pgpipe_internal.worker_role());
begin
    if missing is not null then
        raise warning '%: the embedding % is not kept fresh yet: %', e.target, quote_ident(e.name),
            split_part(missing, ': ', 1) using hint = substr(missing, strpos(missing, ': ') + 2);
    end if;
end
$$;
comment on function pgpipe_internal.warn_of_lacking_grants(pgpipe.embedding) is
    'Warns who declares an embedding if its worker may not embed it, with what to grant.';

create or replace function pgpipe_internal.count_orphans(
    e pgpipe.embedding, sample int, out looked bigint, out orphans bigint)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
begin
    if not pgpipe_internal.is_store(e.store, e)
       or pgpipe_internal.key_columns(e.target) is distinct from e.key_columns
       or row_security_active(e.store) or row_security_active(e.target)
       or pgpipe_internal.runs_code(e.store) or pgpipe_internal.runs_code(e.target)
       or not has_table_privilege(e.store, 'select')
       or not has_table_privilege(e.target, 'select')
       or not has_table_privilege('pgpipe.job', 'select') then
        return;
    end if;
    execute format($sql$
        select count(*), count(*) filter (where not exists (
                   select from %1$s target where %2$s)
               and not exists (select from pgpipe.job job
                                where job.embedding_id = %3$s and job.key = %4$s))
          from %5$s stored tablesample system (%6$s) where stored.chunk = 0
        $sql$, e.target, pgpipe_internal.same_key(e.target, e.key_columns, 'target', 'stored'),
        e.embedding_id, pgpipe_internal.key_json(e.target, e.key_columns, 'stored'), e.store,
        pgpipe_internal.sampled_percent(e.store, sample)) into looked, orphans;
end
$$;
comment on function pgpipe_internal.count_orphans(pgpipe.embedding, int) is
    'Of a sample of about so many vectors: how many were looked at, and how many belong to no row '
    'and have no job that will delete them. Null if the caller may not or should not look.';
