-- Ranking by words: BM25F of the rows that are read.
-- docs/ranking.md explains how and why. BM25F: S. Robertson, H. Zaragoza, "The Probabilistic
-- Relevance Framework: BM25 and Beyond", 2009, section 3.6. A word's frequency is the sum of its
-- occurrences times the weight of the column they stand in; then BM25 with the target's k1 and b.

create or replace function pgpipe_internal.bm25f_expression(
    words tsquery[], idf double precision[], weights text[],
    occurrences double precision[] default '{0.5,0.75,1,1.5}', k1 double precision default 1.2)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- ts_rank of a word that occurs n times is 6/π² · (1 + 1/4 + … + 1/n²). What that lacks of 1 is
    -- 6/π² over a number between n and n + 1, so n is read back exactly, and no tsvector is taken
    -- apart. Its weights, 0 or 1 for D, C, B, A, say which columns count.
    with field as (  -- the lightest column for every occurrence, then what each heavier one adds
        select occurrences[scale.n] - lag(occurrences[scale.n], 1, 0) over (order by scale.n)
                   as step,
               scale.columns, row_number() over (order by scale.n) as place
          from (values ('D', 1, '{1,1,1,1}'), ('C', 2, '{0,1,1,1}'),
                       ('B', 3, '{0,0,1,1}'), ('A', 4, '{0,0,0,1}')) scale (weight, n, columns)
         where scale.weight = any (weights)
    ), occurring as (
        select word.n, string_agg(
                   format(case field.place
                          when 1 then '%s * floor(0.6079271018540267 / '
                                      '(1 - ts_rank(%L, measured.document, %L)))'
                          else 'case when measured.heavier > 0 then %s * floor(0.6079271018540267 '
                               '/ (1 - ts_rank(%L, measured.document, %L))) else 0 end' end,
                          field.step,
                          case field.place when 1 then '{1,1,1,1}' else field.columns end,
                          word.query), ' + ' order by field.place)
               as frequency
          from unnest(words) with ordinality word (query, n) cross join field group by word.n
    )
    select string_agg(format('%s * (1 - measured.norm / (measured.norm + %s))',
                             (k1 + 1) * idf[occurring.n], occurring.frequency),
                      ' + ' order by occurring.n)
      from occurring
$$;
comment on function pgpipe_internal.bm25f_expression(
    tsquery[], float8[], text[], float8[], float8) is
    'SQL text: BM25F of measured.document, whose words are searched by columns of these weights. '
    'An occurrence counts so much in a column of weight D, C, B and A. '
    'measured.norm is k1 · (1 - b + b · length / mean length). measured.heavier is above 0 if a '
    'word may stand in another than the lightest column.';

create or replace function pgpipe_internal.rough_expression(
    words tsquery[], idf double precision[], document text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format('%s * ts_rank(''{1,1,1,1}'', %s, %L)',
                             alike.weight, document, alike.query), ' + ')
      from (select sum(word.idf) as weight,
                   pgpipe_internal.any_word(array_agg(word.query)) as query
              from unnest(words, idf) word (query, idf) group by round(word.idf)) alike
$$;
comment on function pgpipe_internal.rough_expression(tsquery[], float8[], text) is
    'SQL text: about how much of a question a document holds. Words of about the same rarity share '
    'one call.';

create or replace function pgpipe_internal.rank_parts(
    declared pgpipe.search, key_columns name[], words tsquery[], idf double precision[])
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
               'target', declared.target, 'search', quote_ident(declared.column_name),
               'key_columns', pgpipe_internal.numbered_list(key_columns, 'row'),
               'key', pgpipe_internal.numbered_json(declared.target, key_columns, 'measured'),
               -- A number with a point would be a numeric, and all that is multiplied by it too.
               'mean_length', quote_literal(greatest(declared.mean_length, 1)) || '::float8',
               'any', quote_literal(any_word), 'rough',
               pgpipe_internal.rough_expression(words, idf, 'matching.document'),
               'score', pgpipe_internal.bm25f_expression(
                   words, idf, field.weights, declared.occurrences, declared.k1),
               'norm_once', quote_literal(declared.k1 * (1 - declared.b)) || '::float8',
               'norm_of_length', quote_literal(declared.k1 * declared.b) || '::float8',
               'heavier', case
                   when cardinality(field.weights) = 1 then '0'
                   else format('ts_rank(%L, candidate.document, %L)',
                               case field.weights[2] when 'A' then '{0,0,0,1}'
                                                     when 'B' then '{0,0,1,1}'
                                                     else '{0,1,1,1}' end, any_word) end)
      from (select array_agg(distinct part.value order by part.value desc) as weights
              from jsonb_each_text(declared.weights) part) field
     cross join pgpipe_internal.any_word(words) any_word
$$;
comment on function pgpipe_internal.rank_parts(pgpipe.search, name[], tsquery[], float8[]) is
    'The parts of rank_statement that say what is scored, and how.';

create or replace function pgpipe_internal.rank_statement(
    declared pgpipe.search, key_columns name[], condition text,
    words tsquery[], idf double precision[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.fill($sql$
        with matching as (
            -- setweight of no word is a copy: a value that is stored apart, or compressed, is
            -- fetched once.
            select {key_columns}, setweight(row.{search}, 'D', '{}') as document
              from {target} row where {condition} limit $1
        ), candidate as materialized (
            -- The divisor is that of BM25 for a word that occurs once.
            select * from matching
             order by ({rough}) / ((1 + {norm_once}) * {mean_length}
                                   + {norm_of_length} * length(matching.document)) desc limit $2
        ), measured as (
            select candidate.*, {heavier} as heavier,
                   {norm_once} + {norm_of_length} * coalesce(
                       round(ts_rank('{1,1,1,1}', candidate.document, {any})::double precision
                             / nullif(ts_rank('{1,1,1,1}', candidate.document, {any}, 2), 0)),
                       length(candidate.document)) / {mean_length} as norm
              from candidate offset 0
        ), scored as (
            select {key} as key, {score} as score from measured
        )
        select array_agg(best.key order by best.score desc, best.key) as keys,
               array_agg(best.score order by best.score desc, best.key) as scores
          from (select * from scored where scored.key <> all ($4)
                 order by scored.score desc, scored.key limit $3) best
        $sql$, pgpipe_internal.rank_parts(declared, key_columns, words, idf)
               || jsonb_build_object('condition', condition))
$$;
comment on function pgpipe_internal.rank_statement(
    pgpipe.search, name[], text, tsquery[], float8[]) is
    'SQL text that ranks the rows of a condition, at most $1: a rough score for all, BM25F for the '
    'best $2 of them, keys and scores of the best $3 that are not among the keys $4.';

create or replace function pgpipe_internal.rank_matching(
    statement text, k int, inout keys jsonb[] default '{}',
    inout scores double precision[] default '{}')
    stable  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off  -- the indexes know what is wanted, the planner only guesses
    language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
    last constant double precision := scores[cardinality(scores)];
    more record;
begin
    execute statement into more
      using greatest(limits.match_limit, k), greatest(limits.score_limit, k),
            k - cardinality(keys), keys;
    keys := keys || coalesce(more.keys, '{}');
    scores := scores || array(
        select least(found.score, last)
          from unnest(more.scores) with ordinality found (score, n) order by found.n);
end
$$;
comment on function pgpipe_internal.rank_matching(text, int, jsonb[], float8[]) is
    'Keys and scores of the k best rows that a rank_statement finds. Behind a list that is shorter '
    'than k they follow whatever they score: a longer list begins with the shorter one, as pages '
    'need.';
