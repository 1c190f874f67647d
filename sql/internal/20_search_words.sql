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

create or replace function pgpipe_internal.count_steps(
    target regclass, column_name name, mean_length float8, total float8)
    returns table (lexeme text, steps real[])
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- A third of the rows that words are counted in: they take three times as long.
    sample constant text := format(
        'tablesample system (%s) repeatable (1)', least(100, 100.0 * 10000 / greatest(total, 1)));
    counted float8 := pgpipe_internal.count_rows(target, sample);
begin
    return query
    with stat as materialized (
        select split_part(found.word, chr(31), 1) as word,
               ascii(split_part(found.word, chr(31), 2)) - 96 as step,
               found.ndoc * total / greatest(counted, 1) as documents
          from ts_stat(format('select %s from %s %s', pgpipe_internal.impacts_expression(
                                  column_name, mean_length), target, sample)) found
    )
    select summed.word, array_agg(summed.documents::real order by summed.step)
      from (select several.word, each.step,
                   sum(coalesce(stat.documents, 0))
                       over (partition by several.word order by each.step desc) as documents
              from (select stat.word from stat where stat.step > 0 group by stat.word
                    having sum(stat.documents) >= (pgpipe_internal.ranking()).whole_limit / 10)
                   several
             cross join generate_series(1, 10) each (step)
              left join stat on stat.word = several.word and stat.step = each.step) summed
     group by summed.word;
end
$$;
comment on function pgpipe_internal.count_steps(regclass, name, float8, float8) is
    'In how many documents each common lexeme has which step of impact at least, from a sample.';

create or replace function pgpipe_internal.count_words(
    target regclass, column_name name, sample text, read float8, total float8)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.lexeme word where word.target = count_words.target;
    with stat as materialized (
        select * from ts_stat(format('select %I from %s %s', column_name, target, sample))
    ), mean as (
        select coalesce(sum(stat.nentry)::float8 / nullif(read, 0), 0) as length from stat
    ), strong as (
        select found.* from mean cross join lateral pgpipe_internal.count_steps(
               count_words.target, column_name, mean.length, total) found
         where mean.length > 0 and total > (pgpipe_internal.ranking()).match_limit
    ), kept as (
        insert into pgpipe.lexeme (target, lexeme, documents, steps)
        select count_words.target, stat.word, stat.ndoc * total / greatest(read, 1),
               strong.steps
          from stat left join strong on strong.lexeme = stat.word
    )
    update pgpipe.search serving
       set documents = total, refreshed_at = clock_timestamp(), mean_length = mean.length
      from mean where serving.target = count_words.target;
end
$$;
comment on function pgpipe_internal.count_words(regclass, name, text, float8, float8) is
    'Replaces the lexemes of a target, and the figures of its search, by what a sample holds: '
    '`read` rows of `total`. A TABLESAMPLE clause takes it; empty is all rows.';
