-- Keyword search.

create or replace function pgpipe.text_search(
    target regclass, query text, k int default 10, filter jsonb default null, skip int default 0, prefix boolean default false)
    returns table (key jsonb, score double precision, text_rank int, passage text, "row" jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    languages regconfig[] := pgpipe_internal.search_languages(target);
begin
    perform pgpipe_internal.require_page(k, skip);
    return query execute format($sql$
        with ranked as (
            select r.key, r.score, r.rank::int from pgpipe_internal.rank_text($1, $2, $3 + $4, $5, $6) with ordinality r (key, score, rank)
        ), page as materialized (select * from ranked r where r.rank > $4)
        select p.key, p.score, p.rank, %s, %s
          from page p join %s t on %s
         order by p.rank
        $sql$, pgpipe_internal.headline_expression(target, 't', '$7'), pgpipe_internal.row_expression(target, 't'), target,
        pgpipe_internal.key_match(target, pgpipe_internal.require_key(target), 't', 'p.key'))
        using target, query, k, skip, filter, prefix, pgpipe_internal.asked_words(languages, query, prefix);
end
$$;
comment on function pgpipe.text_search(regclass, text, int, jsonb, int, boolean) is
    'The k rows that answer a question best by its words, after the first `skip`. Columns: key, '
    'score (BM25F), text_rank, passage with the words between <b> and </b>, row. Bare words are '
    'alternatives, "phrases" must occur, -words must not, word* is a beginning. With `prefix` the '
    'last word is one too. Equal scores are ordered by key. '
    'Example: select key, score, passage from pgpipe.text_search(''article'', '
    '''compress "a file" -tar'', k => 5)';
