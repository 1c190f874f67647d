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

create or replace function pgpipe_internal.best_groups(
    rare int, postings float8[], without float8[], total float8, out ends int[], out rows float8)
    immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
    last constant int := least(cardinality(postings), rare + limits.most_groups);
begin
    -- All ways to part the common words, in order, into groups of which each is at least as large
    -- as the one before: until the rows that hold a word of each group are few enough. `loss` is
    -- how often one of the best rows is not among them: without a whole group.
    with recursive split as (
        select '{}'::int[] as ends, rare as word, 1 as size, total as rows, 0::float8 as loss,
               0::float8 as read, 'Infinity'::float8 as time
        union all
        select split.ends || longer.word, longer.word, longer.word - split.word, longer.rows,
               split.loss + limits.lacking ^ (longer.word - split.word), longer.read,
               longer.rows * limits.row_time + longer.read
          from split
         cross join lateral (
               select word,
                      case cardinality(split.ends)
                      when 0 then postings[word] * (limits.look_up + limits.unpack)
                      when 1 then split.read
                                  + (postings[word] - postings[split.word]) * limits.unpack
                      else split.read end as read,
                      split.rows * least(1, case when split.ends = '{}' then 1
                                                 else limits.together end
                                 * (1 - exp(without[word]
                                            - coalesce(without[nullif(split.word, 0)], 0)))) as rows
                 from generate_series(split.word + split.size, last) word) longer
         where split.time > limits.time_limit
    )
    select split.ends, split.rows into ends, rows from split where split.ends <> '{}'
     order by split.time > limits.time_limit,
              case when split.time > limits.time_limit then split.time else split.loss end,
              split.ends limit 1;
end
$$;
comment on function pgpipe_internal.best_groups(int, float8[], float8[], float8) is
    'How to part the common words, those after `rare`, into groups: where each ends, and how many '
    'rows hold a word of each. `postings` counts the entries of the words so far, `without` is the '
    'logarithm of the share of rows that hold none of them.';

create or replace function pgpipe_internal.candidate_queries(
    words tsquery[], documents double precision[], total double precision)
    returns tsquery[]  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
    n constant int := cardinality(words);
    postings constant float8[] := array(
        select sum(word.documents) over (order by word.place)
          from unnest(documents) with ordinality word (documents, place));
    without constant float8[] := array(  -- exp() of less than -745 would be an error, not 0
        select greatest(-700, sum(ln(greatest(1e-9, 1 - word.documents / greatest(total, 1))))
                              over (order by word.place))
          from unnest(documents) with ordinality word (documents, place));
    rare constant int := (
        select count(*) from unnest(documents, without) word (documents, lacked)
         where total * (1 - exp(without[n])) <= limits.rare_rows
            or total * (1 - exp(word.lacked)) <= limits.rare_rows
               and word.documents <= limits.rare_share * total);
    best record;
begin
    if rare = n then
        return array[pgpipe_internal.any_word(words)];
    end if;
    best := pgpipe_internal.best_groups(rare, postings, without, total);
    if rare > 0 and postings[rare] + best.rows > limits.rare_rows then
        return array[pgpipe_internal.any_word(words[:rare])];
    end if;
    return array(
        select pgpipe_internal.any_word(
                   words[:rare]
                   || words[coalesce(best.ends[part.n - 1], rare) + 1 : part.last])
          from unnest(best.ends) with ordinality part (last, n) order by part.n);
end
$$;
comment on function pgpipe_internal.candidate_queries(tsquery[], float8[], float8) is
    'The queries that find the rows worth ranking. Words come from the rarest to the most common, '
    'with the documents that hold each, of `total`. A row has to match all of them: by any rare '
    'word, or by one of each group of common ones.';

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

create or replace function pgpipe_internal.weigh_words(
    target regclass, query text, prefix boolean,
    out words tsquery[], out idf double precision[], out probes tsquery[],
    out documents double precision[], out total double precision, out required tsquery)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search := pgpipe_internal.require_search(target);
    asked record := pgpipe_internal.parse_query(
        pgpipe_internal.search_languages(target), query, prefix);
    limits constant record := pgpipe_internal.ranking();
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
               target, known.word, limits.beginnings) longer
         where known.open and longer.word <> all (asked.words)
    )
    select (select array_agg(pgpipe_internal.word_query(word) order by held, word) from scored),
           (select array_agg(times * ln(1 + (total - least(held, total) + 0.5) / (held + 0.5))
                             order by held, word) from scored),
           array_agg(pgpipe_internal.word_query(known.word, known.open)
                     order by known.documents, known.word),
           array_agg(known.documents order by known.documents, known.word)
      into words, idf, probes, documents
      from known;
end
$$;
comment on function pgpipe_internal.weigh_words(regclass, text, boolean) is
    'What a question asks for: the words that score, with their idf. Also, from the rarest to the '
    'most common, what finds their rows, with the documents that hold each, of `total`. Figures '
    'come from the lexeme table, or from the planner if that is empty or hidden.';

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

create or replace function pgpipe_internal.choose_candidates(
    target regclass, condition text, k int, asked_words tsquery[], documents double precision[],
    total double precision, required tsquery,
    out queries tsquery[], out narrowed boolean, out by_filter boolean)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
    any_word constant tsquery := pgpipe_internal.any_word(asked_words);
    passing record;
begin
    narrowed := false;
    by_filter := false;
    if required is not null and not ''::tsvector @@ required then  -- a phrase
        queries := array[required];
        return;
    end if;
    queries := pgpipe_internal.candidate_queries(asked_words, documents, total);
    narrowed := queries <> array[any_word];
    if narrowed and condition <> 'true' then
        passing := pgpipe_internal.estimate(target, condition);
        narrowed := passing.rows > greatest(limits.match_limit, k)
                    or passing.cost > limits.filter_cost;
        by_filter := not narrowed;
    end if;
    if not narrowed then
        queries := array[any_word];
    end if;
end
$$;
comment on function pgpipe_internal.choose_candidates(
    regclass, text, int, tsquery[], float8[], float8, tsquery) is
    'The queries that find the rows to rank, all of which must match. `narrowed`: they leave out '
    'rows that hold common words only. `by_filter`: the filter leaves so few rows that it finds '
    'them.';

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
    condition text := pgpipe_internal.filter_condition(target, 'row', filter);
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
