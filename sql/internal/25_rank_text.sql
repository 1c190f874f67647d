-- Ranking by words, put together: which rows are read, and their scores.

create or replace function pgpipe_internal.list_rest(
    declared pgpipe.search, key_columns name[], condition text, required tsquery, k int,
    out key jsonb, out score double precision)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if required is null then
        return;
    end if;
    return query execute pgpipe_internal.fill($sql$
        select {key}, 0::float8
          from (select {key_columns} from {target} row
                 where row.{search} @@ $1 and {condition} order by {order} limit $2) listed
        $sql$, jsonb_build_object(
            'key', pgpipe_internal.numbered_json(declared.target, key_columns, 'listed'),
            'key_columns', pgpipe_internal.numbered_list(key_columns, 'row'),
            'target', declared.target, 'search', quote_ident(declared.column_name),
            'condition', condition,
            'order', pgpipe_internal.column_list(key_columns, 'row')))
        using required, k;
end
$$;
comment on function pgpipe_internal.list_rest(pgpipe.search, name[], text, tsquery, int) is
    'The first k rows, by key, for a question that only excludes words: those that are left.';

create or replace function pgpipe_internal.rank_text(
    target regclass, query text, k int, filter jsonb default null, prefix boolean default false,
    ranking jsonb default null)
    returns table (key jsonb, score double precision)
    stable rows 100
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set jit = off set work_mem = '32MB'  -- so that the bitmap of a common word keeps its rows apart
    language plpgsql
as $$
declare
    declared pgpipe.search := pgpipe_internal.with_ranking(
        pgpipe_internal.require_search(target), ranking);
    key_columns name[] := pgpipe_internal.require_key(target);
    condition text := pgpipe_internal.search_condition(target, filter);
    asked record := pgpipe_internal.weigh_words(target, query, prefix);
    read record;
    best record;
begin
    if asked.probes is null then  -- stop words, -words, or nothing at all
        return query select * from pgpipe_internal.list_rest(
            declared, key_columns, condition, asked.required, k);
        return;
    end if;
    read := pgpipe_internal.rows_to_rank(declared, condition, asked);
    best := pgpipe_internal.rank_matching(pgpipe_internal.rank_statement(
        declared, key_columns, coalesce(read.strongest, read.every), asked.words, asked.idf), k);
    if read.strongest is not null and cardinality(best.keys) < k then
        best := pgpipe_internal.rank_matching(pgpipe_internal.rank_statement(
            declared, key_columns, read.every, asked.words, asked.idf), k, best.keys, best.scores);
    end if;
    return query select * from unnest(best.keys, best.scores);
end
$$;
comment on function pgpipe_internal.rank_text(regclass, text, int, jsonb, boolean, jsonb) is
    'Keys and BM25F scores of the k best rows for a question, in their order. `ranking` tries '
    'other settings than those of the target. Raises PP005 without a search column, PP007 without '
    'a primary key, PP002 and PP003 as filter_condition.';
