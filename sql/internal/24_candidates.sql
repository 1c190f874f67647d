-- Candidates of a question: its words with their weights, and which rows are worth ranking.

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
