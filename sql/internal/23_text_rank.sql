-- Ranking by words: which rows are worth looking at, and their BM25F.
-- docs/ranking.md explains how and why. BM25F: S. Robertson, H. Zaragoza, "The Probabilistic
-- Relevance Framework: BM25 and Beyond", 2009, section 3.6. A word's frequency is the sum of its
-- occurrences times the weight of the column they stand in; then BM25 with k1 = 1.2, b = 0.75.

create or replace function pgpipe_internal.ranking(
    out rare_rows float8, out rare_share float8, out most_groups int, out time_limit float8,
    out row_time float8, out look_up float8, out unpack float8, out together float8,
    out lacking float8, out most_words int, out beginnings int, out match_limit int,
    out fill_limit int, out score_limit int, out filter_cost float8)
    immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Times are µs of the server's CPU, on one core of an AMD EPYC and a million rows of 900
    -- characters that lie in memory: `make bench-search`, with ROWS=1000000.
    select
        8000,    -- Rare words are those that together stand in at most so many rows,
        0.02,    -- and each in at most this share of the table.
        10,      -- So many common words, from the rarest on, are put into groups, in 138 ways.
        14000,   -- Of the ways that take at most so many µs, the one that loses least is taken.
        2.8,     -- It takes so many µs to read a row from the table and to score it roughly,
        0.08,    -- to look an entry of the first group up in the second,
        0.008,   -- and to unpack an entry of either. Later groups are looked up only in the rest.
        1.5,     -- Words of one question meet in a row so many times as often as by chance.
        0.35,    -- One of the best rows lacks a given word of the question this often: the share
                 -- over the ten best rows of thirty questions, every row read.
        128,     -- Of a long question so many words are used, the rarest that occur at all.
        20,      -- For the beginning of a word so many words score that begin so.
        20000,   -- So many rows that match are looked at,
        5000,    -- so many more if too few hold anything but common words,
        500,     -- and so many of them, the best by a rough score, get the exact one.
        50000    -- A filter that costs less, in the planner's units, is followed to its end.
$$;
comment on function pgpipe_internal.ranking() is
    'What ranking by words is set to, each with its unit and how it was measured.';

create or replace function pgpipe_internal.bm25f_expression(
    words tsquery[], idf double precision[], weights text[])
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- ts_rank of a word that occurs n times is 6/π² · (1 + 1/4 + … + 1/n²). What that lacks of 1 is
    -- 6/π² over a number between n and n + 1, so n is read back exactly, and no tsvector is taken
    -- apart. Its weights, 0 or 1 for D, C, B, A, say which columns count.
    with field as (  -- the lightest column for every occurrence, then what each heavier one adds
        select scale.value - lag(scale.value, 1, 0.0) over (order by scale.value) as step,
               scale.columns, row_number() over (order by scale.value) as place
          from (values ('D', 0.5, '{1,1,1,1}'), ('C', 0.75, '{0,1,1,1}'),
                       ('B', 1.0, '{0,0,1,1}'), ('A', 1.5, '{0,0,0,1}'))
               scale (weight, value, columns)
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
                             2.2 * idf[occurring.n], occurring.frequency),
                      ' + ' order by occurring.n)
      from occurring
$$;
comment on function pgpipe_internal.bm25f_expression(tsquery[], float8[], text[]) is
    'SQL text: BM25F of measured.document, whose words are searched by columns of these weights. '
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
               'mean_length', greatest(declared.mean_length, 1)::text,
               'any', quote_literal(any_word), 'rough',
               pgpipe_internal.rough_expression(words, idf, 'matching.document'),
               'score', pgpipe_internal.bm25f_expression(words, idf, field.weights),
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
    declared pgpipe.search, key_columns name[], condition text, by_filter boolean,
    words tsquery[], idf double precision[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.fill($sql$
        with matching as (
            -- setweight of no word is a copy: a value that is stored apart, or compressed, is
            -- fetched once.
            select {key_columns}, setweight(row.{search}, 'D', '{}') as document
              from {target} row where {matches} and {condition} limit $2
        ), candidate as materialized (
            -- The divisor is that of BM25 for a word that occurs once.
            select * from matching
             order by ({rough}) / (1.44 * {mean_length} + length(matching.document)) desc limit $3
        ), measured as (
            select candidate.*, {heavier} as heavier,
                   1.2 * (0.25 + 0.75 * coalesce(
                       round(ts_rank('{1,1,1,1}', candidate.document, {any})::double precision
                             / nullif(ts_rank('{1,1,1,1}', candidate.document, {any}, 2), 0)),
                       length(candidate.document)) / {mean_length}) as norm
              from candidate offset 0
        ), scored as (
            select {key} as key, {score} as score from measured
        )
        select array_agg(best.key order by best.score desc, best.key),
               array_agg(best.score order by best.score desc, best.key)
          from (select * from scored order by scored.score desc, scored.key limit $4) best
        $sql$, pgpipe_internal.rank_parts(declared, key_columns, words, idf)
               || jsonb_build_object('condition', condition, 'matches', format(
                      case when by_filter then 'pg_catalog.ts_match_vq(row.%I, $1)'
                           else 'row.%I @@ $1' end, declared.column_name)))
$$;
comment on function pgpipe_internal.rank_statement(
    pgpipe.search, name[], text, boolean, tsquery[], float8[]) is
    'SQL text that ranks the rows which match $1, at most $2: a rough score for all, BM25F for the '
    'best $3 of them, keys and scores of the best $4. With by_filter they are found by the '
    'condition alone: the function in place of the operator has no index, so rows that a filter '
    'leaves are not looked for in long lists of other rows.';

create or replace function pgpipe_internal.rank_matching(
    statement text, asked tsquery, k int, listed int default null,
    out keys jsonb[], out scores double precision[])
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
begin
    execute statement into keys, scores
      using asked,
            greatest(case when listed is null then limits.match_limit
                          else limits.fill_limit end, k),
            greatest(limits.score_limit, k), k - coalesce(listed, 0);
    keys := coalesce(keys, '{}');
end
$$;
comment on function pgpipe_internal.rank_matching(text, tsquery, int, int) is
    'Keys and scores of the k best rows that a rank_statement finds. If some are `listed` already, '
    'fewer rows are looked at, and only as many returned as the list lacks.';

create or replace function pgpipe_internal.add_common(
    inout keys jsonb[], inout scores double precision[], statement text, asked_words tsquery[],
    queries tsquery[], required tsquery, k int)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    last constant double precision := scores[cardinality(scores)];
    every constant tsquery := (select string_agg(format('(%s)', query), ' & ')::tsquery
                                 from unnest(queries) query);
    common tsquery := pgpipe_internal.any_word(asked_words) && !!every;
    more record;
begin
    common := coalesce(common && required, common);
    more := pgpipe_internal.rank_matching(statement, common, k, cardinality(keys));
    keys := keys || more.keys;
    scores := scores || array(
        select least(found.score, last)
          from unnest(more.scores) with ordinality found (score, n) order by found.n);
end
$$;
comment on function pgpipe_internal.add_common(
    jsonb[], float8[], text, tsquery[], tsquery[], tsquery, int) is
    'A list that is shorter than k, with rows behind it that hold common words only. They follow '
    'whatever they score: a longer list begins with the shorter one, as pages need.';

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
    plan record;
    best record;
begin
    if pgpipe_internal.any_word(asked.probes) is null then
        return;  -- nothing but stop words, or nothing at all
    end if;
    plan := pgpipe_internal.choose_candidates(
        target, condition, k, asked.probes, asked.documents, asked.total, asked.required);
    -- One condition for each, not their conjunction: the index then goes through the first two, and
    -- looks up the others.
    best := pgpipe_internal.rank_matching(pgpipe_internal.rank_statement(
        declared, key_columns, (
            select concat(string_agg(format('row.%I @@ %L and ', declared.column_name, probe), ''),
                          condition) from unnest(plan.queries[2:]) probe),
        plan.by_filter, asked.words, asked.idf),
        coalesce(plan.queries[1] && asked.required, plan.queries[1]), k);
    if plan.narrowed and cardinality(best.keys) < k then
        best := pgpipe_internal.add_common(
            best.keys, best.scores, pgpipe_internal.rank_statement(
                declared, key_columns, condition, false, asked.words, asked.idf),
            asked.probes, plan.queries, asked.required, k);
    end if;
    return query select * from unnest(best.keys, best.scores);
end
$$;
comment on function pgpipe_internal.rank_text(regclass, text, int, jsonb, boolean) is
    'Keys and BM25F scores of the k best rows for a question, in their order. Raises PP005 without '
    'a search column, PP007 without a primary key, PP002 and PP003 as filter_condition.';
