-- Ranking by words, put together: which rows are read, and their scores.

create or replace function pgpipe_internal.rank_text(
    target regclass, query text, k int, filter jsonb default null, prefix boolean default false)
    returns table (key jsonb, score double precision)
    stable rows 100
    set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    set jit = off set work_mem = '32MB'  -- so that the bitmap of a common word keeps its rows apart
    language plpgsql
as $$
declare
    declared pgpipe.search := pgpipe_internal.require_search(target);
    key_columns name[] := pgpipe_internal.require_key(target);
    condition text := pgpipe_internal.search_condition(target, filter);
    asked record := pgpipe_internal.weigh_words(target, query, prefix);
    read record;
    best record;
begin
    if asked.probes is null then
        return;  -- nothing but stop words, or nothing at all
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
comment on function pgpipe_internal.rank_text(regclass, text, int, jsonb, boolean) is
    'Keys and BM25F scores of the k best rows for a question, in their order. Raises PP005 without '
    'a search column, PP007 without a primary key, PP002 and PP003 as filter_condition.';
