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

create or replace function pgpipe_internal.stale_searches()
    returns setof regclass  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select serving.target from pgpipe.search serving
      join pg_catalog.pg_class class on class.oid = serving.target
     where pgpipe_internal.search_is_stale(serving.target)
       and coalesce(serving.refreshed_at < now() - interval '10 minutes', true)
       and has_table_privilege(serving.target, 'select')
       and not row_security_active(serving.target)
$$;
comment on function pgpipe_internal.stale_searches() is
    'Targets that have grown or shrunk by a tenth since their words were counted, ten minutes ago '
    'or more. Idle embedders ask, so that rows which no load brought count too.';

create or replace function pgpipe_internal.refresh_stale_search(target regclass)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform from pgpipe.search serving
      where serving.target = refresh_stale_search.target
        and coalesce(serving.refreshed_at < now() - interval '10 minutes', true)
        for update skip locked;  -- who holds it is refreshing it
    if found then
        perform pgpipe.refresh_search(target);
    end if;
    return found;
end
$$;
comment on function pgpipe_internal.refresh_stale_search(regclass) is
    'Counts the words of a target again, unless another session is at it or has just done so; '
    'returns whether it did.';

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

create or replace function pgpipe_internal.sample_rows(
    target regclass, at_most int, out total bigint, out read bigint, out sample text,
    out growth double precision)
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    percent double precision;
begin
    sample := '';
    total := (pgpipe_internal.estimate(target, 'true')).rows;
    if total <= 10 * at_most then
        total := pgpipe_internal.count_rows(target, '');
    end if;
    read := total;
    if total > at_most then
        percent := 100.0 * at_most / total;
        -- The same pages again: stable figures. Whole pages: more or fewer rows than asked for.
        sample := format('tablesample system (%s) repeatable (1)', percent);
        read := pgpipe_internal.count_rows(target, sample);
        if total > 10 * at_most and (select class.reltuples < 0 from pg_catalog.pg_class class
                                      where class.oid = target) then
            total := greatest(read, round(100 * read / percent));  -- the file's size was known only
        end if;
    end if;
    growth := total::double precision / greatest(read, 1);
end
$$;
comment on function pgpipe_internal.sample_rows(regclass, int) is
    'Which rows of a target stand for all: a TABLESAMPLE clause, or an empty text for all of them. '
    'Also how many there are, how many are read, and for how many each stands.';
