-- Word counts of a search: when they are stale, and what counting them needs.

create or replace function pgpipe_internal.search_is_stale(target regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A tenth more or fewer rows moves an idf by less than 0.1; the planner's estimate costs
    -- nothing to read.
    select serving.refreshed_at is null
           or abs(pgpipe_internal.known_rows(serving.target) - serving.documents)
              > 0.1 * greatest(serving.documents, 1)
      from pgpipe.search serving where serving.target = search_is_stale.target
$$;
comment on function pgpipe_internal.search_is_stale(regclass) is
    'Whether the lexeme table is missing or a tenth off; null without a search column.';

create or replace function pgpipe_internal.refresh_stale_searches()
    returns int  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    stale regclass;
    refreshed int := 0;
begin
    for stale in
        select serving.target from pgpipe.search serving
          join pg_catalog.pg_class class on class.oid = serving.target
         where pgpipe_internal.search_is_stale(serving.target)
           and coalesce(serving.refreshed_at < now() - interval '10 minutes', true)
           and has_table_privilege(serving.target, 'select')
           and not row_security_active(serving.target)
           for update of serving skip locked loop  -- who holds it is refreshing it
        perform pgpipe.refresh_search(stale);
        refreshed := refreshed + 1;
    end loop;
    return refreshed;
end
$$;
comment on function pgpipe_internal.refresh_stale_searches() is
    'Counts again the lexemes of every target that has grown or shrunk by a tenth, every ten '
    'minutes at most. Idle embedders call it, so that rows which no load brought count too. '
    'Returns how many targets it counted. It leaves those that another session holds, or that may '
    'not be read.';

create or replace function pgpipe_internal.lock_search(target regclass)
    returns name  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    column_name name;
begin
    select serving.column_name into column_name from pgpipe.search serving
     where serving.target = lock_search.target for update;
    if not found then
        raise exception '% has no search column', target using errcode = 'PP005',
            hint = format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target);
    end if;
    return column_name;
end
$$;
comment on function pgpipe_internal.lock_search(regclass) is
    'The search column of a target, whose declaration is locked. Raises PP005 if there is none.';

create or replace function pgpipe_internal.count_rows(target regclass, sample text)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    counted bigint;
begin
    execute format('select count(*) from %s %s', target, sample) into counted;
    return counted;
end
$$;
comment on function pgpipe_internal.count_rows(regclass, text) is
    'How many rows a target has, or the sample of it that a TABLESAMPLE clause (SQL text) takes.';
