-- Keyword search: bare words are alternatives, "phrases" and -words are strict, BM25F ranks.
-- BM25F: S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.6. A word's
-- frequency is the sum of its occurrences times the weight of the column they stand in; then BM25 with k1 = 1.2, b = 0.75.

create or replace function pgpipe.parse_query(language regconfig, query text,
    out words text[], out counts int[], out required tsquery)
    immutable  set search_path = ''  language plpgsql
as $$
declare
    minus text[] := array(select m[2] from regexp_matches(query, '(^|\s)-("[^"]*"|\S+)', 'g') m);
    positive text := regexp_replace(query, '(^|\s)-("[^"]*"|\S+)', ' ', 'g');
    phrases text[] := array(select m[1] from regexp_matches(positive, '"([^"]*)"', 'g') m);
    part text;
    parsed tsquery;
begin
    select array_agg(v.lexeme order by v.lexeme), array_agg(cardinality(v.positions) order by v.lexeme)
      into words, counts
      from unnest(to_tsvector(language, positive)) v;
    foreach part in array phrases loop
        parsed := phraseto_tsquery(language, part);
        if numnode(parsed) > 0 then
            required := coalesce(required && parsed, parsed);
        end if;
    end loop;
    foreach part in array minus loop
        parsed := phraseto_tsquery(language, btrim(part, '"'));
        if numnode(parsed) > 0 then
            required := coalesce(required && !!parsed, !!parsed);
        end if;
    end loop;
    words := coalesce(words, '{}');
    counts := coalesce(counts, '{}');
end
$$;
comment on function pgpipe.parse_query(regconfig, text) is
    'The lexemes of a question and how often each is asked for; `required` joins its "phrases" and -words, null where it has none.';

create or replace function pgpipe.word_query(word text)
    returns tsquery  immutable strict  set search_path = ''  language sql
as $$
    select ('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''')::tsquery
$$;
comment on function pgpipe.word_query(text) is 'The tsquery that asks for this lexeme.';

create or replace function pgpipe.bm25f(document tsvector, words text[], idf double precision[], mean_length double precision)
    returns double precision  immutable strict  set search_path = ''  language sql
as $$
    with entry as (
        select u.lexeme, coalesce(cardinality(u.positions), 1) as occurrences,
               coalesce((select sum(case w when 'A' then 1.5 when 'B' then 1.0 when 'C' then 0.75 else 0.5 end)
                           from unnest(u.weights) w), 1) as frequency
          from unnest(document) u
    ), length as (select sum(occurrences) as words from entry)
    select coalesce(sum(w.idf * e.frequency * 2.2
                        / (e.frequency + 1.2 * (0.25 + 0.75 * l.words / greatest(mean_length, 1)))), 0)
      from entry e join unnest(words, idf) w (lexeme, idf) using (lexeme) cross join length l
$$;
comment on function pgpipe.bm25f(tsvector, text[], double precision[], double precision) is
    'BM25F of a document: an occurrence counts 1.5 in a column of weight A, 1 in B, 0.75 in C, 0.5 in D.';

create or replace function pgpipe.rank_text(target regclass, query text, k int, filter jsonb default null)
    returns table (key jsonb, score double precision)
    stable  set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    rough_limit constant int := 500;      -- documents that get the exact score
    match_budget constant int := 20000;   -- documents that get the rough one
    most_words constant int := 32;
    declared pgpipe.search;
    asked record;
    words text[];
    idf double precision[];
    queries tsquery[]; -- one a word
    probe tsquery;     -- what finds the candidates
    any_word tsquery;
    strict_too text;   -- SQL text: the conditions that every answer meets
    too_few boolean := false;
    key_columns name[] := pgpipe.key_columns(target);
begin
    select * into declared from pgpipe.search s where s.target = rank_text.target;
    if not found then
        raise exception '% has no search column', target using errcode = 'PP005',
            hint = format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target);
    end if;
    if key_columns is null then
        raise exception '% has no primary key, so its rows could not be told apart', target using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    end if;
    select * into asked from pgpipe.parse_query(declared.language, query);
    -- Rarest first: those words decide the ranking, and their matches are the cheapest to find.
    with known as (
        select w.word, w.times, coalesce(l.documents, 1) as documents
          from unnest(asked.words, asked.counts) w (word, times)
          left join pgpipe.lexeme l on l.target = rank_text.target and l.lexeme = w.word
         order by coalesce(l.documents, 1) limit most_words
    ), weighed as (
        select k.*, k.times * ln(1 + (greatest(declared.documents, k.documents) - k.documents + 0.5) / (k.documents + 0.5)) as idf,
               sum(k.documents) over (order by k.documents, k.word) as matches,
               row_number() over (order by k.documents, k.word) as n
          from known k
    )
    select array_agg(w.word), array_agg(w.idf), array_agg(pgpipe.word_query(w.word)),
           string_agg(pgpipe.word_query(w.word)::text, ' | ') filter (where w.n = 1 or w.matches <= match_budget),
           string_agg(pgpipe.word_query(w.word)::text, ' | ')
      into words, idf, queries, probe, any_word
      from weighed w;
    if words is null then
        return;  -- nothing but stop words, or nothing at all
    end if;
    strict_too := format('($4 is null or t.%I @@ $4) and %s', declared.column_name, pgpipe.filter_condition(target, 't', filter));
    if probe <> any_word then
        execute format('select count(*) < $1 from (select from %s t where t.%I @@ $3 and %s limit $1) s',
                       target, declared.column_name, strict_too) into too_few using k, null, probe, asked.required;
    end if;
    return query execute format($sql$
        with matching as (
            select %1$s as key, t.%2$I as document from %3$s t where t.%2$I @@ $3 and %4$s
            union all  -- too few hold a rare word: some of those that hold a common one
            (select %1$s, t.%2$I from %3$s t where $8 and t.%2$I @@ $9 and not t.%2$I @@ $3 and %4$s limit $10)
        ), candidate as materialized (
            select m.key, m.document,
                   (select sum(w.idf * ts_rank(m.document, w.query)) from unnest($11, $2) w (query, idf)) as rough
              from matching m order by rough desc limit $5
        )
        select c.key, pgpipe.bm25f(c.document, $1, $2, $6) as score from candidate c order by score desc, c.key limit $7
        $sql$, pgpipe.key_json(key_columns, 't'), declared.column_name, target, strict_too)
        using words, idf, probe, asked.required, greatest(rough_limit, k), declared.mean_length, k, too_few, any_word, match_budget,
              queries;
end
$$;
comment on function pgpipe.rank_text(regclass, text, int, jsonb) is
    'Keys and BM25F scores of the k best rows for a question. Raises PP005 without a search column, PP007 without a primary key, '
    'PP002 and PP003 as filter_condition.';

create or replace function pgpipe.headline(target regclass, query text, "row" jsonb)
    returns text  stable  set search_path = ''  language sql
as $$
    select ts_headline(s.language,
               (select string_agg("row" ->> a.attname, E'\n' order by w.value, a.attnum)
                  from jsonb_each_text(s.weights) w
                  join pg_catalog.pg_attribute a on a.attrelid = s.target and a.attname = w.key),
               (select string_agg(pgpipe.word_query(q.word)::text, ' | ')::tsquery
                  from unnest((pgpipe.parse_query(s.language, query)).words) q (word)),
               'StartSel=<b>, StopSel=</b>, MaxWords=30, MinWords=12')
      from pgpipe.search s where s.target = headline.target
$$;
comment on function pgpipe.headline(regclass, text, jsonb) is
    'The part of a row that answers the question, its words between <b> and </b>.';

create or replace function pgpipe.text_search(target regclass, query text, k int default 10, filter jsonb default null)
    returns table (key jsonb, score double precision, passage text, "row" jsonb)
    stable  set search_path = ''  language plpgsql
as $$
begin
    return query execute format($sql$
        select r.key, r.score, pgpipe.headline($1, $2, d.document), d.document
          from pgpipe.rank_text($1, $2, $3, $4) r
          left join lateral (select to_jsonb(t) - $5 as document from %s t where %s) d on true
         order by r.score desc, r.key
        $sql$, target, coalesce(pgpipe.key_match(target, pgpipe.key_columns(target), 't', 'r.key'), 'false'))
        using target, query, k, filter,
              coalesce((select s.column_name from pgpipe.search s where s.target = text_search.target), '')::text;
end
$$;
comment on function pgpipe.text_search(regclass, text, int, jsonb) is
    'The k rows that answer a question best by its words: key, score (BM25F), passage with the words between <b> and </b>, row. '
    'Bare words are alternatives, "phrases" must occur, -words must not.';
