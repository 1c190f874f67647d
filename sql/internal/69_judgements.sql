-- Judgements: the rows that they name.

create or replace function pgpipe_internal.judged_keys(target regclass, judged jsonb[])
    returns table (place bigint, key jsonb)
    stable  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    key_columns constant name[] := pgpipe_internal.require_key(target);
begin
    return query execute pgpipe_internal.fill($sql$
        select given.place, found.key
          from unnest($1) with ordinality given (value, place)
         cross join lateral (
               select case jsonb_typeof(given.value) when 'object' then given.value
                      else jsonb_build_object({first}, given.value) end as key offset 0) written
         cross join lateral (
               select case when {unreadable} then null else written.key end as key offset 0) asked
         cross join lateral (select {key} as key from {target} t where {same} limit 1) found
        $sql$, jsonb_build_object(
            'target', target::text, 'first', quote_literal(key_columns[1]),
            'unreadable', pgpipe_internal.key_unreadable(target, key_columns, 'written.key'),
            'key', pgpipe_internal.key_json(target, key_columns, 't'),
            'same', pgpipe_internal.key_match(target, key_columns, 't', 'asked.key')))
        using judged;
end
$$;
comment on function pgpipe_internal.judged_keys(regclass, jsonb[]) is
    'Of keys that a person wrote, those that the target has, with their places. A key is an '
    'object, or the value of a single key column.';

create or replace function pgpipe_internal.try_ranking(
    target regclass, query text, ranking jsonb, wanted int)
    returns pgpipe_internal.listed[]
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.list_text(target, understood.asked, wanted, null, false, ranking)
      from pgpipe_internal.understand(
               target, pgpipe_internal.search_languages(target), query, false, true) understood
$$;
comment on function pgpipe_internal.try_ranking(regclass, text, jsonb, int) is
    'The best rows by words, with other settings of ranking than those of the target.';

create or replace function pgpipe_internal.row_keys(hits pgpipe_internal.listed[])
    returns jsonb[]  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array_agg(hit.key order by hit.ordinality) from unnest(hits) with ordinality hit
$$;
comment on function pgpipe_internal.row_keys(pgpipe_internal.listed[]) is
    'The keys of a list, in its order.';
