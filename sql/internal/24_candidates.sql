-- The words of a question, with their weights.

create or replace function pgpipe_internal.longer_words(
    target regclass, beginning text, most int, out word text, out documents float8)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select known.lexeme, known.documents from pgpipe.lexeme known
     where known.target = longer_words.target and known.lexeme ^@ beginning
       and known.lexeme <> beginning
     order by known.documents desc limit most
$$;
comment on function pgpipe_internal.longer_words(regclass, text, int) is
    'The most common words that begin so, as far as they are known. They score instead of a '
    'beginning.';

create or replace function pgpipe_internal.known_words(
    declared pgpipe.search, total float8, growth float8,
    words text[], counts int[], prefixes boolean[],
    out word text, out times int, out open boolean, out documents float8)
    returns setof record  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    most_words constant int := (pgpipe_internal.ranking()).most_words;
    counted constant boolean := exists (
        select from pgpipe.lexeme known where known.target = declared.target);
begin
    return query
    select part.word, part.times, part.open, least(total, growth * case
               when not counted then (pgpipe_internal.estimate(declared.target, format(
                   'row.%I @@ %L', declared.column_name,
                   pgpipe_internal.word_query(part.word, part.open)))).rows / growth
               when part.open then 1 + (
                   select coalesce(sum(known.documents), 0) from pgpipe.lexeme known
                    where known.target = declared.target and known.lexeme ^@ part.word)
               else coalesce(part.documents, 1) end)
      from (select question.*, (
                   select known.documents from pgpipe.lexeme known
                    where known.target = declared.target and known.lexeme = question.word)
              from unnest(words, counts, prefixes) question (word, times, open))
           part (word, times, open, documents)
     -- What occurs nowhere has the last places.
     order by counted and part.documents is null and not part.open, 4, 1 limit most_words;
end
$$;
comment on function pgpipe_internal.known_words(
    pgpipe.search, float8, float8, text[], int[], boolean[]) is
    'The words of a parsed question that are used, and how many documents hold each.';

drop function if exists pgpipe_internal.weigh_words(regclass, text, boolean);
create or replace function pgpipe_internal.weigh_words(
    target regclass, query text, prefix boolean,
    out lexemes text[], out words tsquery[], out idf double precision[], out held float8[],
    out probes tsquery[], out documents double precision[], out total double precision,
    out required tsquery)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search := pgpipe_internal.require_search(target);
    asked record := pgpipe_internal.parse_query(target, query, prefix);
    growth double precision;  -- rows since the lexemes were counted
begin
    required := asked.required;
    total := (select greatest(declared.documents, class.reltuples, 1)
                from pg_catalog.pg_class class where class.oid = target);
    growth := greatest(1, total / greatest(declared.documents, 1));
    with known as (
        select * from pgpipe_internal.known_words(
            declared, total, growth, asked.words, asked.counts, asked.prefixes)
    ), scored as (
        select known.word, known.times, case when known.open then 1 else known.documents end as held
          from known
        union all
        select longer.word, known.times, longer.documents * growth from known
         cross join lateral pgpipe_internal.longer_words(
               target, known.word, (pgpipe_internal.ranking()).beginnings) longer
         where known.open and longer.word <> all (asked.words)
    )
    select scoring.*, asking.* into lexemes, words, idf, held, probes, documents
      from (select array_agg(ranked.word), array_agg(pgpipe_internal.word_query(ranked.word)),
                   array_agg(ranked.times * ln(1 + (total - least(ranked.held, total) + 0.5)
                                                   / (ranked.held + 0.5))), array_agg(ranked.held)
              from (select * from scored order by scored.held, scored.word) ranked) scoring
     cross join (select array_agg(pgpipe_internal.word_query(ranked.word, ranked.open)),
                        array_agg(ranked.documents)
                   from (select * from known order by known.documents, known.word) ranked) asking;
end
$$;
comment on function pgpipe_internal.weigh_words(regclass, text, boolean) is
    'What a question asks for, from the rarest to the most common: the words that score, with '
    'their idf and how many documents hold each (`held`), of `total`; and what finds their rows '
    '(`probes`, `documents`). Figures come from the lexeme table, or from the planner if that is '
    'empty or hidden.';
