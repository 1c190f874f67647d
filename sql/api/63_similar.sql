-- Rows that are like a row.

create or replace function pgpipe.similar(
    target regclass, key jsonb, k int default 10, filter jsonb default null,
    embedding text default null, options jsonb default null)
    returns table (hit_key jsonb, score double precision, text_rank int, vector_rank int,
                   title text, passage text, "row" jsonb, details jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    chosen constant jsonb := pgpipe_internal.search_options(options) - 'explain';
    key_columns constant name[] := pgpipe_internal.require_key(target);
    this constant record := pgpipe_internal.look_up(target, key_columns, key);
    wanted constant int := pgpipe_internal.pool(chosen, k, 100) + 1;  -- this row is left out
    declared pgpipe.embedding;
    words text;
    found pgpipe_internal.listed[];
begin
    perform pgpipe_internal.require_page(k, 0);
    if embedding is not null or exists (select from pgpipe.embedding known
                                         where known.target = $1 and known.active) then
        declared := pgpipe_internal.require_embedding(target, embedding);
        found := pgpipe_internal.list_like(declared, key, wanted, filter);
    end if;
    if found is null then
        words := pgpipe_internal.telling_words(target, this.content);
        found := pgpipe_internal.list_text(target, words, wanted, filter, false);
    end if;
    found := pgpipe_internal.arrange_hits(target, key_columns, array(
        select hit from unnest(found) hit where hit.key <> this.key), chosen);
    return query select * from pgpipe_internal.show_hits(
        target, found[:k],
        case when words is not null then pgpipe_internal.asked_words(target, words) end, declared,
        chosen);
end
$$;
comment on function pgpipe.similar(regclass, jsonb, int, jsonb, text, jsonb) is
    'The k rows that are most like the one with this key, which is left out. If the row has '
    'vectors, these are the rows nearest to their mean; else the best by the 25 words that tell it '
    'from others. Columns are those of the searches, the key is called hit_key. `filter`, '
    '`embedding` and `options` are as for searches, without "explain". Raises PP003 if no row has '
    'the key. '
    'Example: select hit_key, score, title from pgpipe.similar(''article'', ''{"id": 1}'', k => 3)';
