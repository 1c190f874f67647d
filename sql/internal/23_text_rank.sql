-- Ranking by words: which rows are worth looking at, and their BM25F (docs/ranking.md explains how and why).
-- BM25F: S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.6. A word's
-- frequency is the sum of its occurrences times the weight of the column they stand in; then BM25 with k1 = 1.2, b = 0.75.


create or replace function pgpipe_internal.candidate_queries(words tsquery[], documents double precision[], total double precision)
    returns tsquery[]  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    row_limit constant double precision := 8000;   -- rows of rare words
    rare_share constant double precision := 0.02;  -- a word that more of the rows hold is common, however small the table
    time_limit constant double precision := 14000; -- µs; what follows is in µs too
    row_time constant double precision := 2.8;     -- to read a row from the table and to score it roughly
    look_up constant double precision := 0.08;     -- to look an entry of the first group up in the second
    unpack constant double precision := 0.008;     -- an entry of either; those of later groups are looked up only where both are
    together constant double precision := 1.5;     -- words of one question meet in a row more often than by chance
    lacking constant double precision := 0.35;     -- how often one of the best rows is without a word of the question, as measured
    most_words constant int := 10;                 -- common words that are put into groups, in 138 ways
    n constant int := cardinality(words);
    postings constant double precision[] := array(
        select sum(u.d) over (order by u.place) from unnest(documents) with ordinality u (d, place));
    without constant double precision[] := array(  -- ln of the share of rows that hold none of the words so far
        -- exp() of less than -745 would be an error, not 0
        select greatest(-700, sum(ln(greatest(1e-9, 1 - u.d / greatest(total, 1)))) over (order by u.place))
          from unnest(documents) with ordinality u (d, place));
    rare constant int := (select count(*) from unnest(documents, without) u (d, w)
                           where total * (1 - exp(without[n])) <= row_limit
                              or total * (1 - exp(u.w)) <= row_limit and u.d <= rare_share * total);
    last constant int := least(n, rare + most_words);
    best record;
begin
    if rare = n then
        return array[pgpipe_internal.any_word(words)];
    end if;
    -- All ways to part the common words, in order, into groups of which each is at least as large as the one before: until the rows that
    -- hold a word of each group are few enough. `loss` is how often one of the best rows is not among them: without a whole group.
    with recursive split as (
        select '{}'::int[] as ends, rare as word, 1 as size, total as rows, 0::float8 as loss, 0::float8 as read,
               'Infinity'::float8 as time
        union all
        select s.ends || g.word, g.word, g.word - s.word, g.rows, s.loss + lacking ^ (g.word - s.word), g.read, g.rows * row_time + g.read
          from split s
          cross join lateral (
            select w.word, case cardinality(s.ends) when 0 then postings[w.word] * (look_up + unpack)
                                                   when 1 then s.read + (postings[w.word] - postings[s.word]) * unpack
                                                   else s.read end as read,
                   s.rows * least(1, case when s.ends = '{}' then 1 else together end
                                     * (1 - exp(without[w.word] - coalesce(without[nullif(s.word, 0)], 0)))) as rows
              from generate_series(s.word + s.size, last) w (word)) g
         where s.time > time_limit
    )
    select s.ends, s.rows into best from split s where s.ends <> '{}'
     order by s.time > time_limit, case when s.time > time_limit then s.time else s.loss end, s.ends limit 1;
    if rare > 0 and postings[rare] + best.rows > row_limit then
        return array[pgpipe_internal.any_word(words[:rare])];
    end if;
    return array(select pgpipe_internal.any_word(words[:rare] || words[coalesce(best.ends[e.n - 1], rare) + 1 : e.word])
                   from unnest(best.ends) with ordinality e (word, n) order by e.n);
end
$$;
comment on function pgpipe_internal.candidate_queries(tsquery[], double precision[], double precision) is
    'The queries that find the rows worth ranking. Words come from the rarest to the most common, '
    'with the documents that hold each, of `total`. A row has to match all of them: by any rare '
    'word, or by one of each group of common ones.';

create or replace function pgpipe_internal.bm25f_expression(words tsquery[], idf double precision[], weights text[])
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- ts_rank of a word that occurs n times is 6/π² · (1 + 1/4 + … + 1/n²). What that lacks of 1 is 6/π² over a number between n and
    -- n + 1, so n is read back exactly, and no tsvector is taken apart. Its weights, 0 or 1 for D, C, B, A, say which columns count.
    with field as (  -- the lightest column for every occurrence, then for each heavier one what it adds
        select f.value - lag(f.value, 1, 0.0) over (order by f.value) as step, f.columns, row_number() over (order by f.value) as place
          from (values ('D', 0.5, '{1,1,1,1}'), ('C', 0.75, '{0,1,1,1}'), ('B', 1.0, '{0,0,1,1}'), ('A', 1.5, '{0,0,0,1}'))
               f (weight, value, columns)
         where f.weight = any (weights)
    )
    select string_agg(format('%s * (1 - c.norm / (c.norm + %s))', 2.2 * idf[w.n], (
               select string_agg(
                   case f.place when 1 then format('%s * floor(0.6079271018540267 / (1 - ts_rank(''{1,1,1,1}'', c.document, %L)))',
                                                   f.step, w.query)
                   else format('case when c.heavier > 0 then %s * floor(0.6079271018540267 / (1 - ts_rank(%L, c.document, %L))) else 0 end',
                               f.step, f.columns, w.query) end, ' + ' order by f.place) from field f)), ' + ' order by w.n)
      from unnest(words) with ordinality w (query, n)
$$;
comment on function pgpipe_internal.bm25f_expression(tsquery[], double precision[], text[]) is
    'SQL text: BM25F of c.document, whose words are searched by columns of these weights. c.norm '
    'is k1 · (1 - b + b · length / mean length). c.heavier is above 0 where a word may stand in '
    'another than the lightest column.';

create or replace function pgpipe_internal.rough_expression(words tsquery[], idf double precision[], document text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format('%s * ts_rank(''{1,1,1,1}'', %s, %L)', g.weight, document, g.query), ' + ')
      from (select sum(w.idf) as weight, pgpipe_internal.any_word(array_agg(w.query)) as query
              from unnest(words, idf) w (query, idf) group by round(w.idf)) g
$$;
comment on function pgpipe_internal.rough_expression(tsquery[], double precision[], text) is
    'SQL text: about how much of a question a document holds. Words of about the same rarity share one call.';

create or replace function pgpipe_internal.weigh_words(target regclass, query text, prefix boolean,
    out words tsquery[], out idf double precision[], out probes tsquery[], out documents double precision[],
    out total double precision, out required tsquery)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    most_words constant int := 128;
    beginnings constant int := 20;  -- words that a beginning stands for
    declared pgpipe.search := pgpipe_internal.require_search(target);
    asked record;
    growth double precision;  -- rows since the lexemes were counted
    counted boolean := exists (select from pgpipe.lexeme l where l.target = weigh_words.target);
begin
    select * into asked from pgpipe_internal.parse_query(pgpipe_internal.search_languages(target), query, prefix);
    required := asked.required;
    select greatest(declared.documents, c.reltuples, 1) into total from pg_catalog.pg_class c where c.oid = target;
    growth := greatest(1, total / greatest(declared.documents, 1));
    with known as (
        select w.word, w.times, w.open, least(total, growth * case
                   when not counted then (pgpipe_internal.estimate(target, format('t.%I @@ %L', declared.column_name,
                                                                        pgpipe_internal.word_query(w.word, w.open)))).rows / growth
                   when w.open then 1 + (select coalesce(sum(l.documents), 0) from pgpipe.lexeme l
                                          where l.target = weigh_words.target and l.lexeme ^@ w.word)
                   else coalesce(w.documents, 1) end) as documents
          from (select u.*, (select l.documents from pgpipe.lexeme l where l.target = weigh_words.target and l.lexeme = u.word)
                  from unnest(asked.words, asked.counts, asked.prefixes) u (word, times, open)) w
         order by counted and w.documents is null and not w.open, 4, 1 limit most_words  -- what occurs nowhere has the last places
    ), scored as (  -- instead of a beginning the words that begin so, as far as they are known
        select k.word, k.times, case when k.open then 1 else k.documents end as documents from known k
        union all
        select l.lexeme, k.times, l.documents * growth
          from known k
          cross join lateral (select l.lexeme, l.documents from pgpipe.lexeme l
                               where l.target = weigh_words.target and l.lexeme ^@ k.word and l.lexeme <> k.word
                               order by l.documents desc limit beginnings) l
         where k.open and l.lexeme <> all (asked.words)
    )
    select (select array_agg(pgpipe_internal.word_query(s.word) order by s.documents, s.word) from scored s),
           (select array_agg(s.times * ln(1 + (total - least(s.documents, total) + 0.5) / (s.documents + 0.5)) order by s.documents, s.word)
              from scored s),
           array_agg(pgpipe_internal.word_query(k.word, k.open) order by k.documents, k.word), array_agg(k.documents order by k.documents, k.word)
      into words, idf, probes, documents
      from known k;
end
$$;
comment on function pgpipe_internal.weigh_words(regclass, text, boolean) is
    'What a question asks for: the words that score, with their idf. Also, from the rarest to the '
    'most common, what finds their rows, with the documents that hold each, of `total`. Figures '
    'come from the lexeme table, from the planner where that is empty or hidden.';

create or replace function pgpipe_internal.rank_statement(
    declared pgpipe.search, key_columns name[], condition text, by_filter boolean, words tsquery[], idf double precision[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format($sql$
        with matching as (  -- setweight of no word is a copy: a value that is stored apart, or compressed, is fetched once
            select %1$s, setweight(t.%2$I, 'D', '{}') as document from %3$s t where %11$s and %4$s limit $2
        ), candidate as materialized (
            -- The divisor is that of BM25 for a word that occurs once.
            select m.* from matching m order by (%5$s) / (1.44 * %6$s + length(m.document)) desc limit $3
        ), measured as (
            select n.*, %7$s as heavier,
                   1.2 * (0.25 + 0.75 * coalesce(round(ts_rank('{1,1,1,1}', n.document, %8$L)::double precision
                                                       / nullif(ts_rank('{1,1,1,1}', n.document, %8$L, 2), 0)), length(n.document))
                                 / %6$s) as norm
              from candidate n offset 0
        ), scored as (
            select %9$s as key, %10$s as score from measured c
        )
        select array_agg(b.key order by b.score desc, b.key), array_agg(b.score order by b.score desc, b.key)
          from (select * from scored s order by s.score desc, s.key limit $4) b
        $sql$,
        pgpipe_internal.numbered_list(key_columns, 't'),
        declared.column_name, declared.target, condition, pgpipe_internal.rough_expression(words, idf, 'm.document'),
        greatest(declared.mean_length, 1)::text,
        case when cardinality(f.weights) > 1
             then format('ts_rank(%L, n.document, %L)', case f.weights[2] when 'A' then '{0,0,0,1}' when 'B' then '{0,0,1,1}'
                                                             else '{0,1,1,1}' end, pgpipe_internal.any_word(words))
             else '0' end,
        pgpipe_internal.any_word(words),
        pgpipe_internal.numbered_json(declared.target, key_columns, 'c'),
        pgpipe_internal.bm25f_expression(words, idf, f.weights),
        -- The function has no index: rows that a filter leaves are not looked for in long lists of other rows.
        format(case when by_filter then 'pg_catalog.ts_match_vq(t.%I, $1)' else 't.%I @@ $1' end, declared.column_name))
      from (select array_agg(distinct w.value order by w.value desc) as weights from jsonb_each_text(declared.weights) w) f
$$;
comment on function pgpipe_internal.rank_statement(pgpipe.search, name[], text, boolean, tsquery[], double precision[]) is
    'SQL text that ranks the rows which match $1, at most $2: a rough score for all, BM25F for the best $3 of them, keys and scores of '
    'the best $4. With by_filter they are found by the condition alone.';

create or replace function pgpipe_internal.rank_text(
    target regclass, query text, k int, filter jsonb default null, prefix boolean default false)
    returns table (key jsonb, score double precision)
    stable rows 100  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set jit = off set work_mem = '32MB'  -- so that the bitmap of a common word keeps its rows apart
    language plpgsql
as $$
declare
    match_limit constant int := greatest(20000, k);  -- rows that are looked at
    fill_limit constant int := greatest(5000, k);    -- rows that are looked at where too few hold more than common words
    score_limit constant int := greatest(500, k);    -- rows that get the exact score
    cost_limit constant double precision := 50000;   -- in the planner's units: a filter that costs less is followed to its end
    declared pgpipe.search := pgpipe_internal.require_search(target);
    key_columns name[] := pgpipe_internal.require_key(target);
    condition text := pgpipe_internal.filter_condition(target, 't', filter);
    asked record := pgpipe_internal.weigh_words(target, query, prefix);
    any_word tsquery := pgpipe_internal.any_word(asked.probes);
    phrase boolean := asked.required is not null and not ''::tsvector @@ asked.required;
    probes tsquery[] := case when phrase then array[asked.required]
                             else pgpipe_internal.candidate_queries(asked.probes, asked.documents, asked.total) end;
    narrowed boolean := not phrase and probes <> array[any_word];
    by_filter boolean := false;
    passing record;
    every tsquery;
    keys jsonb[];
    scores double precision[];
    more_keys jsonb[];
    more_scores double precision[];
begin
    if any_word is null then
        return;  -- nothing but stop words, or nothing at all
    elsif narrowed and condition <> 'true' then
        passing := pgpipe_internal.estimate(target, condition);
        narrowed := passing.rows > match_limit or passing.cost > cost_limit;
        by_filter := not narrowed;
    end if;
    if not narrowed and not phrase then
        probes := array[any_word];
    end if;
    -- One condition for each, not their conjunction: the index then goes through the first two, and looks up the others.
    execute pgpipe_internal.rank_statement(declared, key_columns, (
        select coalesce(string_agg(format('t.%I @@ %L', declared.column_name, p), ' and ') || ' and ', '') || condition
          from unnest(probes[2:]) p), by_filter, asked.words, asked.idf)
       into keys, scores using coalesce(probes[1] && asked.required, probes[1]), match_limit, score_limit, k;
    if narrowed and coalesce(cardinality(keys), 0) < k then
        -- Rows that hold common words only follow, whatever they score: a longer list begins with the shorter one, as pages need.
        select string_agg(format('(%s)', p), ' & ')::tsquery into every from unnest(probes) p;
        execute pgpipe_internal.rank_statement(declared, key_columns, condition, false, asked.words, asked.idf) into more_keys, more_scores
          using coalesce(any_word && !!every && asked.required, any_word && !!every), fill_limit, score_limit,
                k - coalesce(cardinality(keys), 0);
        more_scores := array(select least(m.score, scores[cardinality(scores)]) from unnest(more_scores) with ordinality m (score, n)
                              order by m.n);
        keys := keys || more_keys;
        scores := scores || more_scores;
    end if;
    return query select u.key, u.score from unnest(keys, scores) with ordinality u (key, score, n) order by u.n;
end
$$;
comment on function pgpipe_internal.rank_text(regclass, text, int, jsonb, boolean) is
    'Keys and BM25F scores of the k best rows for a question, in their order. Raises PP005 without a search column, PP007 without a '
    'primary key, PP002 and PP003 as filter_condition.';
