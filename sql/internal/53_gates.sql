-- Gates: what a load must meet before it writes. Limits are counted from the difference; checks are
-- SQL of the configuration, and only its text is made here: the loader executes it itself.

create or replace function pgpipe_internal.limit_text(allowed jsonb)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce((allowed ->> 'rows') || ' rows',
                    round((allowed ->> 'share')::numeric * 100, 2)::float8 || ' %')
$$;
comment on function pgpipe_internal.limit_text(jsonb) is 'A limit as a message names it.';

create or replace function pgpipe_internal.exceeds(amount bigint, of_rows bigint, allowed jsonb)
    returns boolean  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select allowed is not null and amount > coalesce(
               (allowed ->> 'rows')::bigint,
               case when of_rows > 100 then (allowed ->> 'share')::float8 * of_rows
                    else of_rows end)
$$;
comment on function pgpipe_internal.exceeds(bigint, bigint, jsonb) is
    'Whether an amount is over a limit: {"rows"}, or of over 100 rows {"share"}.';

create or replace function pgpipe_internal.example_keys(
    difference regclass, key name[], change text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    keys text := pgpipe_internal.number_list(key, 'difference');
    examples text;
begin
    execute format($sql$
        select string_agg(example.key, '; ')
          from (select left(concat_ws(', ', %s), 60) as key from %s difference
                 where difference.change = $1 order by %1$s limit 3) example $sql$,
        keys, difference) into examples using change;
    return format('(%s) %s', pgpipe_internal.column_list(key), examples);
end
$$;
comment on function pgpipe_internal.example_keys(regclass, name[], text) is
    'Up to three keys of the rows with one change, as messages name them.';

create or replace function pgpipe_internal.broken_limits(
    target regclass, difference regclass, key name[], limits jsonb, counted record)
    returns table (rule text, message text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if limits ? 'max_deleted' and counted.deletes > 0
       and (counted.deletes = counted.held
            or pgpipe_internal.exceeds(counted.deletes, counted.held, limits -> 'max_deleted')) then
        rule := 'max_deleted';
        message := format(
            'the load would delete %s of the %s rows of %s, such as %s: max_deleted is %s%s',
            counted.deletes, counted.held, target,
            pgpipe_internal.example_keys(difference, key, 'delete'),
            pgpipe_internal.limit_text(limits -> 'max_deleted'),
            case counted.deletes when counted.held then ', and never all' else '' end);
        return next;
    end if;
    if pgpipe_internal.exceeds(counted.updates, counted.staged - counted.inserts,
                               limits -> 'max_changed') then
        rule := 'max_changed';
        message := format(
            'the load would update %s of the %s rows that %s and the files share, such as %s: '
            'max_changed is %s', counted.updates, counted.staged - counted.inserts, target,
            pgpipe_internal.example_keys(difference, key, 'update'),
            pgpipe_internal.limit_text(limits -> 'max_changed'));
        return next;
    end if;
end
$$;
comment on function pgpipe_internal.broken_limits(regclass, regclass, name[], jsonb, record) is
    'The limits that a difference breaks: max_deleted if it would delete all rows of the target '
    'or more than the limit, max_changed if it would update more than the limit of those that '
    'are staged and there. `counted` is what compare_staged counted. A limit that `limits` lacks '
    'refuses nothing.';

create or replace function pgpipe_internal.check_limits(
    target regclass, difference regclass, key name[], limits jsonb, counted record)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    broken record;
begin
    select string_agg(listed.message, '; ' order by listed.place) as messages,
           string_agg('--accept ' || listed.rule, ' ' order by listed.place) as options
      into broken
      from pgpipe_internal.broken_limits(target, difference, key, limits, counted)
           with ordinality listed (rule, message, place);
    if broken.messages is not null then
        raise exception '%', broken.messages using errcode = 'PP013',
            hint = format('Nothing was changed. If the files are right, let it pass once with '
                          '`%s`.', broken.options);
    end if;
end
$$;
comment on function pgpipe_internal.check_limits(regclass, regclass, name[], jsonb, record) is
    'Raises PP013 with all limits that a difference breaks, see broken_limits.';

drop function if exists pgpipe_internal.staged_rows(regclass, regclass, name[], name[]);
create or replace function pgpipe_internal.staged_rows(
    seen regclass, stage regclass, columns name[], key name[], deleted_column name)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with kept as (
        select string_agg(format(', %s as %I', case
                              when pairs.are_known and item.attname is distinct from deleted_column
                              then format('target.%I', item.attname)
                              else 'null::' || type.type_name end, item.attname), ''
                          order by item.attnum) as list,
               bool_or(pairs.are_known) as are_joined
          from pg_catalog.pg_attribute item
         cross join lateral pgpipe_internal.column_type(item.atttypid, item.atttypmod) type
         cross join (select key <> '{}' and not exists (
                            select from unnest(key) part (name)
                             where not pgpipe_internal.has_column(seen, part.name)) as are_known
                    ) pairs
         where item.attrelid = seen and item.attnum > 0 and not item.attisdropped
           and item.attgenerated = '' and item.attname <> all (columns))
    select format('select %s%s from %s staged%s', pgpipe_internal.column_list(columns, 'staged'),
                  kept.list, case when pgpipe_internal.has_column(stage, 'pgpipe_deleted')
                       then format('(select * from %s where pgpipe_deleted is not true)', stage)
                       else stage::text end, case when kept.are_joined then format(
                      ' left join %s target on %s', seen,
                      pgpipe_internal.same_key(seen, key, 'target', 'staged')) end)
      from kept
$$;
comment on function pgpipe_internal.staged_rows(regclass, regclass, name[], name[], name) is
    'SQL text: the staged rows as they would become. A column that the files lack has the value '
    'of the row that is there, and is NULL in a new one, as is the mark of a row that is gone. '
    'What the target generates is left out. '
    '`seen` is the target, or a view of it; null if there is none yet.';

drop function if exists pgpipe_internal.check_statement(
    regclass, regclass, name[], name[], name, text);
create or replace function pgpipe_internal.check_statement(
    seen regclass, stage regclass, columns name[], key name[], entity name, check_ text,
    deleted_column name default null)
    returns text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    is_query boolean := check_ ~* '^\s*(select|with|values|table)\M';
begin
    perform pgpipe_internal.align_keys(seen, stage, key);
    return pgpipe_internal.render(
        case when is_query then 'merge_check_query' else 'merge_check_rows' end,
        jsonb_build_object(
            'staged', pgpipe_internal.staged_rows(
                seen, stage, columns, key, deleted_column), 'check', check_,
            'target', case when seen is not null and entity <> 'staged' then
                format(', %I as not materialized (select * from %s)', entity, seen) end)
        || case when is_query then '{}' else jsonb_build_object(
               'key', coalesce(pgpipe_internal.column_list(key, 'staged'), 'null')) end);
end
$$;
comment on function pgpipe_internal.check_statement(
    regclass, regclass, name[], name[], name, text, name) is
    'SQL text: how many staged rows break a check, and examples. Whoever executes it does so with '
    'rights of its own, read-only and as one statement: the check''s words are not looked into. '
    'It may name the rows `staged` and the target `entity`, whatever the search_path is. A check '
    'that begins with SELECT, WITH, VALUES or TABLE is a query, any other a condition.';
