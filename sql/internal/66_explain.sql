-- Explaining: why a hit has its place, and what a search spent its time on.

create or replace function pgpipe_internal.explained_question(
    options jsonb, target regclass, query text, prefix boolean, text_weight float8 default 1,
    vector_weight float8 default 1)
    returns jsonb  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    weighed record;
begin
    if (options ->> 'explain')::boolean is not true then
        return null;
    elsif query is null then
        return jsonb_build_object('vector_weight', vector_weight);
    end if;
    weighed := pgpipe_internal.weigh_words(target, query, prefix);
    return jsonb_build_object(
        'words', (select coalesce(jsonb_agg(jsonb_build_object('query', word, 'idf', idf)), '[]')
                    from unnest(weighed.words, weighed.idf) part (word, idf)),
        'column', (pgpipe_internal.require_search(target)).column_name,
        'mean_length', (pgpipe_internal.require_search(target)).mean_length,
        'text_weight', text_weight, 'vector_weight', vector_weight);
end
$$;
comment on function pgpipe_internal.explained_question(
    jsonb, regclass, text, boolean, float8, float8) is
    'What explain_hit needs to know of a question; null if nothing is to be explained.';

create or replace function pgpipe_internal.explain_words(document tsvector, question jsonb)
    returns jsonb  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
               'length', (select coalesce(sum(cardinality(part.positions)), 0)
                            from unnest(document) part),
               'mean_length', question -> 'mean_length',
               'words', coalesce(jsonb_agg(jsonb_build_object(
                            'word', part.lexeme, 'idf', asked.idf, 'occurrences', held.counts)
                            order by asked.idf desc, part.lexeme), '[]'))
      from unnest(document) part
      join jsonb_to_recordset(question -> 'words') asked (query text, idf float8)
        on asked.query = pgpipe_internal.word_query(part.lexeme)::text
     cross join lateral (
           select jsonb_object_agg(counted.weight, counted.times) as counts
             from (select weight, count(*) as times from unnest(part.weights) weight
                    group by weight) counted) held
$$;
comment on function pgpipe_internal.explain_words(tsvector, jsonb) is
    'The words of a question that a row holds: idf, and occurrences by the weight of their column. '
    'Also its length in words.';

create or replace function pgpipe_internal.explain_hit(
    hit pgpipe_internal.listed, document tsvector, question jsonb)
    returns jsonb  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'text', case when hit.text_rank is not null then
            pgpipe_internal.explain_words(document, question) || jsonb_build_object(
                'score', hit.text_score, 'rank', hit.text_rank, 'share', hit.text_share,
                'weight', question -> 'text_weight') end,
        'vector', case when hit.vector_rank is not null then jsonb_build_object(
            'score', hit.vector_score, 'rank', hit.vector_rank, 'share', hit.vector_share,
            'weight', question -> 'vector_weight') end,
        'boosts', hit.boosts))
$$;
comment on function pgpipe_internal.explain_hit(pgpipe_internal.listed, tsvector, jsonb) is
    'Why a hit has its score: its words, both ranks, both shares, and what boosts added.';

create or replace function pgpipe_internal.with_times(
    details jsonb, names text[], clock timestamptz[])
    returns jsonb  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select details || jsonb_build_object('milliseconds', jsonb_object_agg(
               lap.name, round(1000 * extract(epoch from lap.until - lap.since), 3)))
      from unnest(names, clock, clock[2:] || clock_timestamp()) lap (name, since, until)
$$;
comment on function pgpipe_internal.with_times(jsonb, text[], timestamptz[]) is
    'Details with the time of each part of a search. `clock` is when each began; the last one ends '
    'now.';
