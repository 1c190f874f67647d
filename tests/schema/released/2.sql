--
-- PostgreSQL database dump
--

\restrict oAzq2ZhItR9hC4oBWjUzJGXgrvWZoOvsdlPLFxK6vbSpk8RLp8obawKCOLIqZpH

-- Dumped from database version 16.14
-- Dumped by pg_dump version 16.14

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: pgpipe; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA pgpipe;


--
-- Name: SCHEMA pgpipe; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA pgpipe IS 'What pgpipe keeps about its targets: loads, declared searches and embeddings, and the queue.';


--
-- Name: pgpipe_staging; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA pgpipe_staging;


--
-- Name: SCHEMA pgpipe_staging; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA pgpipe_staging IS 'Tables being filled by a load. Whatever is found here without a running load may be dropped.';


--
-- Name: vector; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;


--
-- Name: EXTENSION vector; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods';


--
-- Name: add_columns(regclass, regclass, jsonb, name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.add_columns(target regclass, stage regclass, added jsonb, key name[], mode text) RETURNS bigint
    LANGUAGE plpgsql STRICT
    SET work_mem TO '128MB'
    AS $_$
-- The caller's search_path: the target's own triggers run within this function, and find their tables by it.
declare
    change record;
    names name[] := array(select c ->> 'name' from jsonb_array_elements(added) with ordinality a (c, n) order by n);
    common text;
    filled bigint;
begin
    for change in select * from jsonb_to_recordset(added) c (name text, type text) loop
        -- A default that is there when the column is added is kept in the catalogue and costs no row a rewrite. In a snapshot every
        -- row that stays is staged, so its most common value is right for most rows and is corrected in the others.
        if mode = 'snapshot' then
            execute format('select min(%1$I::text) from %2$s group by %1$I order by count(*) desc limit 1', change.name, stage) into common;
        end if;
        execute format('alter table %s add column %I %s default %L', target, change.name, change.type, common);
        execute format('alter table %s alter column %I drop default', target, change.name);
    end loop;
    execute format('update %s t set (%s) = row (%s) from %s s where (%s) = (%s) and (%s) is distinct from (%s)',
        target, pgpipe.column_list(names), pgpipe.column_list(names, 's'), stage, pgpipe.column_list(key, 't'),
        pgpipe.column_list(key, 's'), pgpipe.comparable(target, names, 't'), pgpipe.comparable(target, names, 's'));
    get diagnostics filled = row_count;
    return filled;
end
$_$;


--
-- Name: FUNCTION add_columns(target regclass, stage regclass, added jsonb, key name[], mode text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.add_columns(target regclass, stage regclass, added jsonb, key name[], mode text) IS 'Adds columns to a target and gives them their staged values. Returns how many rows had to be written for it.';


--
-- Name: alter_search(regclass, text, regconfig, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.alter_search(target regclass, columns text, language regconfig DEFAULT NULL::regconfig, language_column name DEFAULT NULL::name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    serving pgpipe.search := pgpipe.require_search(target);
    wanted pgpipe.search_fill;
    filling pgpipe.search_fill;
begin
    wanted.target := target;
    wanted.weights := pgpipe.parse_weights(columns);
    wanted.language := coalesce(language, serving.language);
    wanted.language_column := nullif(coalesce(language_column, serving.language_column), '');
    -- Numbers of columns are never used twice, so neither is the name.
    wanted.column_name := pgpipe.derived_name(serving.column_name, '_' || (
        select max(a.attnum) + 1 from pg_catalog.pg_attribute a where a.attrelid = alter_search.target));
    select * into filling from pgpipe.search_fill f where f.target = alter_search.target;
    if (filling.weights, filling.language, filling.language_column)
       is not distinct from (wanted.weights, wanted.language, wanted.language_column) then
        return;
    elsif filling.target is not null then  -- another change, not finished: this one takes its place
        delete from pgpipe.search_fill f where f.target = alter_search.target;
        perform pgpipe.execute_briefly(format('lock table %s in access exclusive mode', target));
        perform pgpipe.drop_search_column(target, filling.column_name);
    end if;
    if (serving.weights, serving.language, serving.language_column)
       is distinct from (wanted.weights, wanted.language, wanted.language_column) then
        perform pgpipe.check_search(wanted);
        perform pgpipe.start_fill(wanted);
    end if;
end
$$;


--
-- Name: FUNCTION alter_search(target regclass, columns text, language regconfig, language_column name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.alter_search(target regclass, columns text, language regconfig, language_column name) IS 'Declares other columns, weights or another language for a target that is searched already: a second column is filled beside the first, which serves until finish_search. A language or a language column that is not named stays; '''' takes the latter away. Twice is a no-op; the declaration that serves ends a change under way. Raises PP005 without a search, and as enable_search.';


--
-- Name: any_word(tsquery[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.any_word(words tsquery[]) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select string_agg('(' || w::text || ')', ' | ')::tsquery from unnest(words) w
$$;


--
-- Name: FUNCTION any_word(words tsquery[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.any_word(words tsquery[]) IS 'The tsquery that asks for any of these; null for none.';


--
-- Name: array_literal(jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.array_literal(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO ''
    AS $$
    select case jsonb_typeof(value)
           when 'array' then '{' || coalesce((select string_agg(coalesce(pgpipe.array_literal(e), 'NULL'), ',' order by n)
                                                from jsonb_array_elements(value) with ordinality a (e, n)), '') || '}'
           when 'null' then 'NULL'
           else '"' || replace(replace(value #>> '{}', '\', '\\'), '"', '\"') || '"' end
$$;


--
-- Name: FUNCTION array_literal(value jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.array_literal(value jsonb) IS 'A JSON array of any depth as the text form of a PostgreSQL array.';


--
-- Name: asked_words(regconfig[], text, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.asked_words(languages regconfig[], query text, prefix boolean DEFAULT false) RETURNS tsquery
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    select string_agg(pgpipe.word_query(w.word, w.prefix)::text, ' | ')::tsquery
      from pgpipe.parse_query(languages, query, prefix) q cross join unnest(q.words, q.prefixes) w (word, prefix)
$$;


--
-- Name: FUNCTION asked_words(languages regconfig[], query text, prefix boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.asked_words(languages regconfig[], query text, prefix boolean) IS 'The tsquery that a passage is marked by: any word of the question; null where it has none.';


--
-- Name: base_type(oid); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.base_type(type oid) RETURNS oid
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    with recursive chain as (
        select base_type.type as type
        union all
        select t.typbasetype from chain c join pg_catalog.pg_type t on t.oid = c.type where t.typtype = 'd'
    )
    select c.type from chain c join pg_catalog.pg_type t on t.oid = c.type where t.typtype <> 'd'
$$;


--
-- Name: FUNCTION base_type(type oid); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.base_type(type oid) IS 'The type that a domain is made of; any other type is its own.';


--
-- Name: bm25f_expression(tsquery[], double precision[], text[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.bm25f_expression(words tsquery[], idf double precision[], weights text[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
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


--
-- Name: FUNCTION bm25f_expression(words tsquery[], idf double precision[], weights text[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.bm25f_expression(words tsquery[], idf double precision[], weights text[]) IS 'SQL text: BM25F of c.document, whose words are searched by columns of these weights; c.norm is k1 · (1 - b + b · length / mean length), c.heavier above 0 where a word may stand in another than the lightest column.';


--
-- Name: brace(text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.brace(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO ''
    AS $$ select '{' || replace(replace(name, '{', '{{'), '}', '}}') || '}' $$;


--
-- Name: FUNCTION brace(name text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.brace(name text) IS 'A column as a template writes it: in braces, its own braces doubled.';


--
-- Name: candidate_queries(tsquery[], double precision[], double precision); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.candidate_queries(words tsquery[], documents double precision[], total double precision) RETURNS tsquery[]
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
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
        return array[pgpipe.any_word(words)];
    end if;
    -- All ways to part the common words, in their order, into groups of which each is no smaller than the one before: until the rows that
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
        return array[pgpipe.any_word(words[:rare])];
    end if;
    return array(select pgpipe.any_word(words[:rare] || words[coalesce(best.ends[e.n - 1], rare) + 1 : e.word])
                   from unnest(best.ends) with ordinality e (word, n) order by e.n);
end
$$;


--
-- Name: FUNCTION candidate_queries(words tsquery[], documents double precision[], total double precision); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.candidate_queries(words tsquery[], documents double precision[], total double precision) IS 'What finds the rows worth ranking, for words from the rarest to the most common and the documents that hold each, of `total`: queries all of which a row has to match, by any rare word or by one of each group of common ones.';


--
-- Name: check_key(regclass, name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.check_key(stage regclass, key name[]) RETURNS void
    LANGUAGE plpgsql STABLE STRICT
    SET search_path TO ''
    AS $_$
declare
    bad bigint;
    example text;
begin
    execute format('select count(*) from %s s where num_nulls(%s) > 0', stage, pgpipe.column_list(key, 's')) into bad;
    if bad > 0 then
        raise exception 'the key (%) is NULL in % of the rows', pgpipe.column_list(key), bad using errcode = 'PP010',
            hint = 'A key identifies every row: choose columns without NULLs.';
    end if;
    execute format($sql$
        with twice as (select %1$s, count(*) as n from %2$s s group by %1$s having count(*) > 1)
        select count(*), min(concat_ws(', ', %1$s)) from twice $sql$, pgpipe.column_list(key), stage) into bad, example;
    if bad > 0 then
        raise exception 'the key (%) is not unique: % of its values occur more than once, such as %',
            pgpipe.column_list(key), bad, quote_literal(left(example, 60)) using errcode = 'PP010',
            hint = 'Name more columns in `key`, or load without one in mode append.';
    end if;
end
$_$;


--
-- Name: FUNCTION check_key(stage regclass, key name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.check_key(stage regclass, key name[]) IS 'Raises PP010 where the key is NULL or occurs twice, with how often and an example.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: search_fill; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.search_fill (
    target regclass NOT NULL,
    column_name name NOT NULL,
    weights jsonb NOT NULL,
    language regconfig NOT NULL,
    language_column name,
    next_block bigint DEFAULT 0 NOT NULL,
    end_block bigint DEFAULT 0 NOT NULL,
    filled bigint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT search_fill_end_block_check CHECK ((end_block >= 0)),
    CONSTRAINT search_fill_filled_check CHECK ((filled >= 0)),
    CONSTRAINT search_fill_next_block_check CHECK ((next_block >= 0)),
    CONSTRAINT search_fill_weights_check CHECK ((jsonb_typeof(weights) = 'object'::text))
);


--
-- Name: TABLE search_fill; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.search_fill IS 'Search columns that are being filled, and how far; what pgpipe.search says about the same target serves until then.';


--
-- Name: check_search(pgpipe.search_fill); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.check_search(wanted pgpipe.search_fill) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
    if num_nulls(wanted.target, wanted.weights, wanted.language, wanted.column_name) > 0 then
        raise exception 'a search needs a table, columns, a language and a name for its column; one of them is NULL'
            using errcode = 'PP003';
    elsif (select c.relkind from pg_catalog.pg_class c where c.oid = wanted.target) not in ('r', 'p') then
        raise exception '% is no table', wanted.target using errcode = 'PP003',
            hint = 'Only a table can have a search column: declare it on the one that the rows are in.';
    end if;
    perform pgpipe.require_columns(wanted.target, array(select jsonb_object_keys(wanted.weights))::name[]);
    if wanted.language_column is not null then
        perform pgpipe.require_columns(wanted.target, array[wanted.language_column]);
    end if;
    perform pgpipe.search_expression(wanted.target, wanted.weights, wanted.language, wanted.language_column);
    if pgpipe.has_column(wanted.target, wanted.column_name) then
        raise exception '% has a column % already', wanted.target, quote_ident(wanted.column_name) using errcode = 'PP004',
            hint = 'Give the search column another name: column_name => ''search_text''.';
    end if;
end
$$;


--
-- Name: FUNCTION check_search(wanted pgpipe.search_fill); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.check_search(wanted pgpipe.search_fill) IS 'Raises PP002, PP003 or PP004 where a search cannot be declared like this.';


--
-- Name: checked_condition(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.checked_condition(target regclass, condition text) RETURNS text
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    reason text;
    checked text;
begin
    -- One statement and no more: a cursor takes no second one. Then as a check constraint, which refuses subqueries and aggregates.
    for reason in execute format(E'select ''''::text from %s t where (%s\n) limit 0', target, condition) loop
        null;
    end loop;
    execute format('create temporary table pgpipe_condition (like %s) on commit drop', target);
    execute format(E'alter table pg_temp.pgpipe_condition add constraint c check (%s\n)', condition);
    select pg_catalog.pg_get_expr(c.conbin, c.conrelid) into checked from pg_catalog.pg_constraint c
     where c.conrelid = 'pg_temp.pgpipe_condition'::regclass and c.conname = 'c';
    drop table pg_temp.pgpipe_condition;
    return checked;
exception when others then
    get stacked diagnostics reason = message_text;
    raise exception 'the condition % cannot be used: %', quote_literal(condition), reason using errcode = 'PP003',
        hint = 'Write what could stand in a check constraint of the table: an expression of the row''s columns that is true or false.';
end
$$;


--
-- Name: FUNCTION checked_condition(target regclass, condition text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.checked_condition(target regclass, condition text) IS 'The condition as PostgreSQL reads it, every name in full. Raises PP003 where it is no condition on one row of the target.';


--
-- Name: claim_jobs(integer, integer, text, uuid, interval); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.claim_jobs(embedding_id integer, max_jobs integer, worker text, token uuid, lease interval DEFAULT '00:05:00'::interval) RETURNS TABLE(key jsonb, gen bigint, attempts integer, content text, content_hash bytea, fresh boolean, twin boolean)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $_$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = claim_jobs.embedding_id;
    if e.paused_at is not null then
        return;
    end if;
    -- A lease that ran out is claimed like any other job: its holder is fenced off by the new token. Perhaps a row of the batch killed
    -- the holder, so the batch is halved with each such death until that row stands alone; from then on it is charged.
    return query execute format($sql$
        with ready as materialized (
            select j.ctid as tid, j.attempts, j.lease_token is not null as rescued,
                   j.rescues + (j.lease_token is not null)::int as rescues
              from pgpipe.job j where j.embedding_id = $1 and j.visible_at <= now()
             order by j.visible_at limit $2 for update skip locked
        ), chosen as materialized (
            select r.tid, r.rescues, c.charge, c.charge = 1 and r.attempts + 1 >= $7 as dead
              from ready r cross join lateral (select (r.rescued and $2 >> least(r.rescues, 30) = 0)::int as charge) c
             limit (select greatest(1, $2 >> least(max(a.rescues), 30)) from ready a)
        ), leased as (
            update pgpipe.job j
               set rescues = c.rescues, attempts = j.attempts + c.charge,
                   lease_token = case when not c.dead then $3 end, leased_by = case when not c.dead then $4 end,
                   visible_at = case when c.dead then 'infinity' else now() + $5 end, dead_at = case when c.dead then now() end,
                   last_error = case when c.dead then 'each worker that took this row alone ended without a word' else j.last_error end
              from chosen c where j.ctid = c.tid
            returning j.key, j.gen, j.attempts, j.dead_at
        )
        select l.key, l.gen, l.attempts, i.content, h.hash, coalesce(s.content_hash = h.hash and s.model = $6, false),
               h.hash is not null and (s.content_hash = h.hash and s.model = $6) is not true
               and exists (select from %3$s o where o.content_hash = h.hash and o.model = $6 and o.chunk = 0)
          from leased l
          left join lateral (select %1$s as content from %2$s t where %5$s offset 0) i on true
          left join lateral (select pgpipe.content_hash(i.content) as hash offset 0) h on true
          left join lateral (select s.content_hash, s.model from %3$s s where %4$s and s.chunk = 0 offset 0) s on true
         where l.dead_at is null
        $sql$, pgpipe.input_expression(e.columns, e.template, e.condition), e.target, e.store,
        pgpipe.key_match(e.target, e.key_columns, 's', 'l.key'), pgpipe.key_match(e.target, e.key_columns, 't', 'l.key'))
        using e.embedding_id, max_jobs, token, worker, lease, e.model, e.max_attempts;
end
$_$;


--
-- Name: FUNCTION claim_jobs(embedding_id integer, max_jobs integer, worker text, token uuid, lease interval); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.claim_jobs(embedding_id integer, max_jobs integer, worker text, token uuid, lease interval) IS 'Leases up to max_jobs ready jobs, longest waiting first, to `token`, and returns what to embed: `content` is null where the row is gone, empty or outside the condition, `fresh` says that the stored vectors are of this very text and model, `twin` that another row of the store has them. Jobs whose lease ran out are rescued: claimed again, in a smaller batch each time. None while the embedding is paused. Commit before the model runs.';


--
-- Name: column_list(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.column_list(columns name[], alias text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
    select string_agg(coalesce(alias || '.', '') || quote_ident(c), ', ' order by n)
      from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION column_list(columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.column_list(columns name[], alias text) IS 'SQL text: the columns, quoted, each after `alias.` where one is given.';


--
-- Name: column_type(oid, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.column_type(type oid, modifier integer, OUT type_name text, OUT base text, OUT labels text[]) RETURNS record
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    -- A domain is sent as the type below it, an enum as its labels; a type of an extension is known by its bare name.
    with recursive below (oid, modifier, kind) as (
        select t.oid, column_type.modifier, t.typtype from pg_catalog.pg_type t where t.oid = column_type.type
        union all
        select t.oid, d.typtypmod, t.typtype
          from below b join pg_catalog.pg_type d on d.oid = b.oid and d.typtype = 'd' join pg_catalog.pg_type t on t.oid = d.typbasetype
    )
    select pg_catalog.format_type(column_type.type, column_type.modifier),
           case b.kind when 'e' then 'text'
                       when 'b' then regexp_replace(pg_catalog.format_type(b.oid, b.modifier), '^.+\.', '')
                       else pg_catalog.format_type(b.oid, b.modifier) end,
           (select array_agg(e.enumlabel::text order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = b.oid)
      from below b where b.kind <> 'd'
$$;


--
-- Name: FUNCTION column_type(type oid, modifier integer, OUT type_name text, OUT base text, OUT labels text[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.column_type(type oid, modifier integer, OUT type_name text, OUT base text, OUT labels text[]) IS 'A type by its full name, the type in which its values are sent, and the labels of an enum.';


--
-- Name: comparable(regclass, name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.comparable(target regclass, columns name[], alias text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    -- json has no equality; its text has.
    select string_agg(format('%s.%I%s', alias, c, case when a.atttypid = 'json'::regtype then '::text' else '' end), ', ' order by n)
      from unnest(columns) with ordinality k (c, n)
      join pg_catalog.pg_attribute a on a.attrelid = comparable.target and a.attname = c
$$;


--
-- Name: FUNCTION comparable(target regclass, columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.comparable(target regclass, columns name[], alias text) IS 'SQL text: the columns in a form that `is distinct from` accepts.';


--
-- Name: compare_embeddings(regclass, text, text, integer, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.compare_embeddings(target regclass, one text, other text, sample integer DEFAULT 200, k integer DEFAULT 10, OUT rows bigint, OUT mean_cosine double precision, OUT least_cosine double precision, OUT correlation double precision, OUT shared_neighbours double precision) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    a pgpipe.embedding := pgpipe.require_embedding(target, one);
    b pgpipe.embedding := pgpipe.require_embedding(target, other);
    schema name := pgpipe.vector_schema();
    portion double precision;
begin
    select coalesce(least(100, 150.0 * sample / nullif(greatest(c.reltuples, 0), 0)), 100) into portion
      from pg_catalog.pg_class c where c.oid = a.store;
    execute format($sql$
        with sampled as materialized (
            select row_number() over () as n, a.vector as va, b.vector as vb
              from (select * from %1$s a tablesample bernoulli (%2$s) where a.chunk = 0 limit $1) a
              join %3$s b on (%4$s) = (%5$s) and b.chunk = 0 and b.content_hash = a.content_hash
        ), pair as materialized (
            select x.n as x, y.n as y, 1 - (x.va operator(%6$I.<=>) y.va) as sa, 1 - (x.vb operator(%6$I.<=>) y.vb) as sb
              from sampled x join sampled y on x.n <> y.n
        ), ranked as (
            select p.x, row_number() over (partition by p.x order by p.sa desc, p.y) as ra,
                   row_number() over (partition by p.x order by p.sb desc, p.y) as rb from pair p
        )
        select (select count(*) from sampled), %7$s,
               (select corr(p.sa, p.sb) from pair p where p.x < p.y and p.sa < 'Infinity' and p.sb < 'Infinity'),
               (select avg((r.rb <= $2)::int) from ranked r where r.ra <= $2)
        $sql$, a.store, portion, b.store, pgpipe.column_list(b.key_columns, 'b'), pgpipe.column_list(a.key_columns, 'a'), schema,
        case when a.dims = b.dims
             then format('(select 1 - avg(va operator(%1$I.<=>) vb) from sampled), '
                         '(select 1 - max(va operator(%1$I.<=>) vb) from sampled)', schema)
             else 'null::float8, null::float8' end)
        into rows, mean_cosine, least_cosine, correlation, shared_neighbours using sample, k;
end
$_$;


--
-- Name: FUNCTION compare_embeddings(target regclass, one text, other text, sample integer, k integer, OUT rows bigint, OUT mean_cosine double precision, OUT least_cosine double precision, OUT correlation double precision, OUT shared_neighbours double precision); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.compare_embeddings(target regclass, one text, other text, sample integer, k integer, OUT rows bigint, OUT mean_cosine double precision, OUT least_cosine double precision, OUT correlation double precision, OUT shared_neighbours double precision) IS 'How far two embeddings of a target are apart, over a random sample of rows that both have: `mean_cosine` and `least_cosine` between the two vectors of a row (null where the dimensions differ; they mean something only for two variants of one model), `correlation` of the cosines of all pairs of rows in the one with those in the other, and `shared_neighbours`, the mean share of the k nearest rows of the sample that both agree on. The last two compare any two models; 1 is the same order. Raises PP008.';


--
-- Name: condition_on(text, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.condition_on(condition text, alias text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
    -- Its own scope: in there, bare column names can only be the row's.
    select case when condition is null then 'true'
                else format(E'exists (select from (select %s.*) t where (%s\n))', alias, condition) end
$$;


--
-- Name: FUNCTION condition_on(condition text, alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.condition_on(condition text, alias text) IS 'SQL text: the condition of an embedding holds for the row `alias`.';


--
-- Name: content_hash(text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.content_hash(content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ select pg_catalog.sha256(pg_catalog.convert_to(content, 'UTF8')) $$;


--
-- Name: FUNCTION content_hash(content text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.content_hash(content text) IS 'The hash that says whether a stored vector is of this text (32 bytes).';


--
-- Name: copy_filters(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.copy_filters() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET jit TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    e pgpipe.embedding;
    copied name[];
    changed text;
begin
    for e in select * from pgpipe.embedding x where x.target = tg_relid and x.filters <> '{}' and x.filter_error is null loop
        copied := array(select c from unnest(e.filters) c where c <> all (e.key_columns));
        continue when copied = '{}';  -- a key is changed by the foreign keys
        changed := format('(select n.* from new_rows n left join old_rows o on (%s) = (%s) '
                          'where o.%I is null or (%s) is distinct from (%s)) n', pgpipe.column_list(e.key_columns, 'n'),
                          pgpipe.column_list(e.key_columns, 'o'), e.key_columns[1], pgpipe.column_list(copied, 'n'),
                          pgpipe.column_list(copied, 'o'));
        begin
            -- A worker that just writes a vector of such a row has read what was there before. Its job tells: either it holds it, and is
            -- waited for here, so that the next statement sees its vector; or it finds gen moved, and the row is embedded again.
            execute format('update pgpipe.job j set gen = j.gen + 1 from %s where j.embedding_id = $1 and j.key = %s', changed,
                           pgpipe.key_json(e.key_columns, 'n')) using e.embedding_id;
            execute format('update %s f set (%s) = row (%s) from %s where (%s) = (%s)', e.filter_table, pgpipe.column_list(copied),
                           pgpipe.column_list(copied, 'n'), changed, pgpipe.column_list(e.key_columns, 'f'),
                           pgpipe.column_list(e.key_columns, 'n'));
        exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded then
            perform pgpipe.suspend_filters(e.embedding_id, sqlerrm);
        end;
    end loop;
    return null;
end
$_$;


--
-- Name: FUNCTION copy_filters(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.copy_filters() IS 'Trigger on a target: filter columns that an UPDATE changed are changed in the filter tables.';


--
-- Name: copy_vectors(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.copy_vectors() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET jit TO 'off'
    AS $_$
declare
    e pgpipe.embedding;
    copied name[];
begin
    select * into e from pgpipe.embedding x where x.store = tg_relid and x.filters <> '{}' and x.filter_error is null;
    if not found then
        return null;
    end if;
    copied := '{vector}' || array(select c from unnest(e.filters) c where c <> all (e.key_columns));
    begin
        execute format($sql$
            insert into %1$s (%2$s, chunk, %3$s) select %4$s, n.chunk, n.vector::%5$I.halfvec(%6$s)%7$s
              from new_rows n join %8$s t on (%9$s) = (%4$s)
                on conflict (%2$s, chunk) do update set (%3$s) = row (%10$s)
            $sql$, e.filter_table, pgpipe.column_list(e.key_columns), pgpipe.column_list(copied), pgpipe.column_list(e.key_columns, 'n'),
            pgpipe.vector_schema(), e.dims, coalesce(', ' || pgpipe.column_list(copied[2:], 't'), ''), e.target,
            pgpipe.column_list(e.key_columns, 't'), pgpipe.column_list(copied, 'excluded'));
    exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded then
        perform pgpipe.suspend_filters(e.embedding_id, sqlerrm);
    end;
    return null;
end
$_$;


--
-- Name: FUNCTION copy_vectors(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.copy_vectors() IS 'Trigger on a store: new vectors go into its filter table too, with the filter columns of their rows.';


--
-- Name: create_aside(name, jsonb, name[], boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.create_aside(name name, columns jsonb, key name[], unlogged boolean) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    untyped text;
begin
    select c ->> 'type' into untyped from jsonb_array_elements(columns) c where to_regtype(c ->> 'type') is null limit 1;
    if found then
        raise exception 'there is no type %', untyped using errcode = 'PP003';
    end if;
    perform pgpipe.drop_aside(name);
    execute format('create %s table pgpipe_staging.%I (%s)', case when unlogged then 'unlogged' else '' end, name,
        (select string_agg(format('%I %s', c ->> 'name', c ->> 'type'), ', ' order by n)
           from jsonb_array_elements(columns) with ordinality a (c, n)));
    if not unlogged and key = '{}' then
        execute format('alter table pgpipe_staging.%I add column pgpipe_row bigint generated always as identity', name);
    end if;
    return format('pgpipe_staging.%I', name)::regclass;
end
$$;


--
-- Name: FUNCTION create_aside(name name, columns jsonb, key name[], unlogged boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.create_aside(name name, columns jsonb, key name[], unlogged boolean) IS 'Makes a table in pgpipe_staging from [{"name", "type"}], replacing what an earlier load left there: unlogged for rows that will be merged, logged for a target to be published. Without a key the latter gets a generated pgpipe_row.';


--
-- Name: create_roles(name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.create_roles(targets name DEFAULT 'public'::name) RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    wanted name;
    missing name[] := array(select w from unnest('{pgpipe_owner,pgpipe_loader,pgpipe_embedder,pgpipe_reader}'::name[]) w
                             where to_regrole(w::text) is null);
    may boolean := (select r.rolcreaterole or r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user);
begin
    if not may and (missing <> '{}' or not pg_has_role('pgpipe_owner', 'usage') or not pg_has_role('pgpipe_loader', 'usage')) then
        raise exception '% may not create roles', quote_ident(current_user) using errcode = 'PP020',
            hint = 'As a superuser, or a role with CREATEROLE, run: '
                || (select coalesce(string_agg(format('create role %I %s; ', m, case m when 'pgpipe_owner' then 'nologin'
                                                                                       else 'login' end), ''), '')
                      from unnest(missing) m)
                || format('grant pgpipe_owner, pgpipe_loader to %I; then `pgpipe roles` again.', current_user);
    end if;
    foreach wanted in array missing loop
        execute format('create role %I %s', wanted, case wanted when 'pgpipe_owner' then 'nologin' else 'login' end);
        return next format('created %s', wanted);
    end loop;
    foreach wanted in array '{pgpipe_owner,pgpipe_loader}'::name[] loop
        if not pg_has_role(wanted, 'usage') then  -- whoever migrates stays able to
            execute format('grant %I to %I', wanted, current_user);
            return next format('granted %s to %s', wanted, current_user);
        end if;
    end loop;
    if not pgpipe.roles_in_use() then
        execute 'alter schema pgpipe owner to pgpipe_owner';
        execute 'alter schema pgpipe_staging owner to pgpipe_owner';
        return next 'pgpipe_owner owns the schema pgpipe';
    end if;
    return query select pgpipe.grant_roles(targets);
end
$$;


--
-- Name: FUNCTION create_roles(targets name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.create_roles(targets name) IS 'Creates pgpipe_owner (no login), pgpipe_loader, pgpipe_embedder and pgpipe_reader, hands the schema to the first and the targets to the second, and grants each what its part needs. Twice is a no-op. Raises PP020 for a caller who may not, with what to run instead.';


--
-- Name: create_store(regclass, text, name[], integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.create_store(target regclass, store text, key_columns name[], dims integer) RETURNS regclass
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $_$
begin
    execute format($sql$
        create table %1$s (
            %2$s,
            chunk        int not null check (chunk >= 0),       -- 0, 1, … where a long text was split
            char_start   int not null check (char_start >= 0),  -- the passage, in characters of the text
            char_end     int not null check (char_end > char_start),
            content_hash bytea not null,                        -- of the whole text
            model        text not null,
            vector       %3$s not null,
            primary key (%4$s, chunk),
            foreign key (%4$s) references %5$s (%4$s) on update cascade on delete cascade
        )$sql$, store,
        (select string_agg(format('%I %s not null', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' order by k.n)
           from unnest(key_columns) with ordinality k (c, n)
           join pg_catalog.pg_attribute a on a.attrelid = create_store.target and a.attname = k.c),
        format('%I.%s(%s)', pgpipe.vector_schema(), case when dims > 2000 then 'halfvec' else 'vector' end, dims),
        pgpipe.column_list(key_columns), target);
    execute format('alter table %s alter column vector set storage main', store);  -- inline: a scan reads it faster
    execute format('create index on %s (content_hash) where chunk = 0', store);    -- an equal text is not embedded twice
    return store::regclass;
end
$_$;


--
-- Name: FUNCTION create_store(target regclass, store text, key_columns name[], dims integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.create_store(target regclass, store text, key_columns name[], dims integer) IS 'Creates the table of an embedding''s vectors.';


--
-- Name: declared_type(text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.declared_type(declared text, OUT type_name text, OUT base text, OUT labels text[]) RETURNS record
    LANGUAGE sql STABLE STRICT
    AS $_$
    -- The caller's search_path: a type is named as the user knows it. What stands in parentheses is kept, not read.
    select pg_catalog.regexp_replace(t.type_name, m.place, m.modifier || '\1\2'),
           pg_catalog.regexp_replace(t.base, m.place, m.modifier || '\1\2'), t.labels
      from (select coalesce(pg_catalog.substring(declared, '\([^)]*\)'), '') as modifier, '( with(?:out)? time zone)?(\[\])?$' as place) m,
           pgpipe.column_type(pg_catalog.to_regtype(pg_catalog.regexp_replace(declared, ' *\([^)]*\)', '')), -1) t
     where t.type_name is not null
$_$;


--
-- Name: FUNCTION declared_type(declared text, OUT type_name text, OUT base text, OUT labels text[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.declared_type(declared text, OUT type_name text, OUT base text, OUT labels text[]) IS 'The type that a user wrote, as column_type; null where there is none.';


--
-- Name: derived_name(text, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.derived_name(base text, suffix text) RETURNS name
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    -- A cut name alone could meet another table's; eight digits of a hash keep the two apart. A character takes up to 4 bytes.
    select case when octet_length(base || suffix) <= 63 then base || suffix
                else left(base, (54 - octet_length(suffix)) / 4) || '_' || left(md5(base), 8) || suffix end::name
$$;


--
-- Name: FUNCTION derived_name(base text, suffix text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.derived_name(base text, suffix text) IS 'The name base || suffix, shortened to the 63 bytes of a name by a hash of the base where it is longer.';


--
-- Name: disable_embedding(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.disable_embedding(target regclass, name text DEFAULT 'default'::text) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    gone pgpipe.embedding;
begin
    -- The table first, as its writers do: a writer that holds one job and waits for another would be in a deadlock with the delete.
    execute format('lock table %s in access exclusive mode', target);
    delete from pgpipe.embedding e where e.target = disable_embedding.target and e.name = disable_embedding.name returning * into gone;
    if found then
        perform pgpipe.drop_table(gone.filter_table);
        perform pgpipe.drop_table(gone.store);
    end if;
    if not exists (select from pgpipe.embedding e where e.target = disable_embedding.target) then
        perform pgpipe.unwatch(target);
    end if;
end
$$;


--
-- Name: FUNCTION disable_embedding(target regclass, name text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.disable_embedding(target regclass, name text) IS 'Drops an embedding with its store and its jobs, and with the last one the triggers of the target. Twice is a no-op.';


--
-- Name: disable_filters(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.disable_filters(target regclass, embedding text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, embedding);
begin
    if e.filter_table is null then
        return;
    end if;
    update pgpipe.embedding x set filters = '{}', filter_table = null, filter_error = null where x.embedding_id = e.embedding_id;
    execute format('drop trigger if exists pgpipe_filters_insert on %1$s; drop trigger if exists pgpipe_filters_update on %1$s', e.store);
    perform pgpipe.drop_table(e.filter_table);
    if not exists (select from pgpipe.embedding x where x.target = disable_filters.target and x.filter_table is not null) then
        execute format('drop trigger if exists pgpipe_filters on %s', target);
    end if;
end
$_$;


--
-- Name: FUNCTION disable_filters(target regclass, embedding text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.disable_filters(target regclass, embedding text) IS 'Drops the filter table of the active embedding, or of the one named. Filters work as before, only slower. Twice is a no-op.';


--
-- Name: disable_search(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.disable_search(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    gone name;
begin
    for gone in
        with filling as (delete from pgpipe.search_fill f where f.target = disable_search.target returning f.column_name),
             serving as (delete from pgpipe.search s where s.target = disable_search.target returning s.column_name)
        select * from filling union all select * from serving
    loop
        perform pgpipe.drop_search_column(target, gone);
    end loop;
    delete from pgpipe.lexeme l where l.target = disable_search.target;
end
$$;


--
-- Name: FUNCTION disable_search(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.disable_search(target regclass) IS 'Drops the search column with its index, its trigger and its lexemes, also one that is still being filled. Twice is a no-op.';


--
-- Name: drop_aside(name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.drop_aside(name name) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    left_over regclass := to_regclass(format('pgpipe_staging.%I', name));
begin
    if left_over is not null then
        delete from pgpipe.search s where s.target = left_over;
        execute format('drop table %s', left_over);
    end if;
end
$$;


--
-- Name: FUNCTION drop_aside(name name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.drop_aside(name name) IS 'Drops a staging table, if there is one, with what was declared on it.';


--
-- Name: drop_invalid_index(integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.drop_invalid_index(embedding_id integer) RETURNS boolean
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET lock_timeout TO '1s'
    AS $$
declare
    e pgpipe.embedding;
    leftover regclass;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = drop_invalid_index.embedding_id;
    -- A build holds this lock from its first moment to its last: whoever gets it knows that an invalid index has no builder.
    execute format('lock table %s in share update exclusive mode nowait', e.store);
    for leftover in select i.indexrelid from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
                      join pg_catalog.pg_am m on m.oid = x.relam
                     where i.indrelid = e.store and not i.indisvalid and m.amname in ('hnsw', 'ivfflat') loop
        execute format('drop index %s', leftover);
    end loop;
    return true;
exception when lock_not_available then
    return false;
end
$$;


--
-- Name: FUNCTION drop_invalid_index(embedding_id integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.drop_invalid_index(embedding_id integer) IS 'Drops the vector index that a build which was cut off left behind: invalid, in the way, and kept up at every write. False where the store is locked, by a build that goes on or by a vacuum.';


--
-- Name: drop_jobs(integer, jsonb[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.drop_jobs(embedding_id integer DEFAULT NULL::integer, keys jsonb[] DEFAULT NULL::jsonb[]) RETURNS integer
    LANGUAGE sql
    SET search_path TO ''
    AS $$
    with dead as materialized (
        select j.ctid as tid from pgpipe.job j
         where j.dead_at is not null and j.visible_at = 'infinity'
           and j.embedding_id = coalesce(drop_jobs.embedding_id, j.embedding_id)
           and (drop_jobs.keys is null or j.key = any (drop_jobs.keys))
           for update skip locked
    ), dropped as (
        delete from pgpipe.job j using dead d where j.ctid = d.tid
        returning 1
    )
    select count(*)::int from dropped
$$;


--
-- Name: FUNCTION drop_jobs(embedding_id integer, keys jsonb[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.drop_jobs(embedding_id integer, keys jsonb[]) IS 'Deletes dead jobs, chosen as in retry_jobs: their rows stay without fresh vectors until they change or are reconciled. Returns how many.';


--
-- Name: drop_orphaned_embeddings(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.drop_orphaned_embeddings() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    gone pgpipe.embedding;
begin
    for gone in delete from pgpipe.embedding e where not exists (select from pg_catalog.pg_class c where c.oid = e.target)
                returning * loop
        perform pgpipe.drop_table(gone.filter_table);
        perform pgpipe.drop_table(gone.store);
    end loop;
end
$$;


--
-- Name: FUNCTION drop_orphaned_embeddings(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.drop_orphaned_embeddings() IS 'Drops the stores, with their filter tables, whose target DROP TABLE … CASCADE took away.';


--
-- Name: drop_search_column(regclass, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.drop_search_column(target regclass, column_name name) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    keeper record;
begin
    select * into keeper from pgpipe.search_keeper(target, column_name);
    if keeper.trigger is not null then
        execute format('drop trigger %I on %s', keeper.trigger, target);
        execute format('drop function %s()', keeper.function);
    end if;
    if pgpipe.has_column(target, column_name) then
        execute format('alter table %s drop column %I', target, column_name);
    end if;
end
$$;


--
-- Name: FUNCTION drop_search_column(target regclass, column_name name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.drop_search_column(target regclass, column_name name) IS 'Drops a search column with its index, and the trigger that keeps it.';


--
-- Name: drop_table(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.drop_table(relation regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
begin
    if exists (select from pg_catalog.pg_class c where c.oid = relation) then
        execute format('drop table %s', relation);
    end if;
end
$$;


--
-- Name: FUNCTION drop_table(relation regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.drop_table(relation regclass) IS 'Drops a table that pgpipe made, where nobody else has.';


--
-- Name: embedding; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.embedding (
    embedding_id integer NOT NULL,
    target regclass NOT NULL,
    name text NOT NULL,
    store regclass NOT NULL,
    key_columns name[] NOT NULL,
    columns name[] NOT NULL,
    template text NOT NULL,
    condition text,
    model text NOT NULL,
    dims integer NOT NULL,
    chunk_size integer,
    chunk_overlap integer DEFAULT 0 NOT NULL,
    active boolean DEFAULT true NOT NULL,
    paused_at timestamp with time zone,
    max_attempts integer DEFAULT 5 NOT NULL,
    fingerprint bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    filters name[] DEFAULT '{}'::name[] NOT NULL,
    filter_table regclass,
    filter_error text,
    CONSTRAINT embedding_check CHECK (((chunk_overlap >= 0) AND (chunk_overlap < COALESCE(chunk_size, 1)))),
    CONSTRAINT embedding_check1 CHECK (((filters = '{}'::name[]) OR (filter_table IS NOT NULL))),
    CONSTRAINT embedding_chunk_size_check CHECK ((chunk_size > 0)),
    CONSTRAINT embedding_columns_check CHECK ((cardinality(columns) > 0)),
    CONSTRAINT embedding_dims_check CHECK (((dims >= 1) AND (dims <= 16000))),
    CONSTRAINT embedding_key_columns_check CHECK ((cardinality(key_columns) > 0)),
    CONSTRAINT embedding_max_attempts_check CHECK ((max_attempts > 0)),
    CONSTRAINT embedding_name_check CHECK ((name ~ '^[a-z][a-z0-9_]*$'::text))
);


--
-- Name: TABLE embedding; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.embedding IS 'One declared way of turning the rows of a target into vectors.';


--
-- Name: embeddable_rows(pgpipe.embedding); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.embeddable_rows(e pgpipe.embedding) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    rows bigint;
    condition text := pgpipe.condition_on(e.condition, 't');
begin
    if not pg_catalog.has_table_privilege(e.target, 'select') then
        return null;
    elsif pg_catalog.pg_table_size(e.target) > 64 << 20 then
        return (pgpipe.estimate(e.target, condition)).rows;
    end if;
    execute format('select count(*) from %s t where %s', e.target, condition) into rows;
    return rows;
end
$$;


--
-- Name: FUNCTION embeddable_rows(e pgpipe.embedding); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.embeddable_rows(e pgpipe.embedding) IS 'Rows of the target for which the condition holds: counted, or above 64 MB the planner''s estimate. Null without the right to read.';


--
-- Name: embedding_drift(regclass, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.embedding_drift(target regclass, sample integer DEFAULT 1000) RETURNS TABLE(name text, model text, active boolean, rows bigint, missing double precision, other_text double precision, other_model double precision, orphans double precision)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    e pgpipe.embedding;
    portion double precision;
begin
    for e in select * from pgpipe.embedding x where x.target = embedding_drift.target order by x.active desc, x.embedding_id loop
        name := e.name;
        model := e.model;
        active := e.active;
        -- Never analysed: all of it. The sample is a half larger, so that chance seldom makes it smaller than asked for.
        select coalesce(least(100, 150.0 * sample / nullif(greatest(c.reltuples, 0), 0)), 100) into portion
          from pg_catalog.pg_class c where c.oid = target;
        execute format($sql$
            select count(*), avg((s.chunk is null)::int), avg((s.content_hash <> i.hash)::int), avg((s.model <> $1)::int)
              from (select %1$s, pgpipe.content_hash(%2$s) as hash from %3$s t tablesample bernoulli (%4$s)) i
              left join %5$s s on (%6$s) = (%7$s) and s.chunk = 0
             where i.hash is not null
            $sql$, pgpipe.numbered_list(e.key_columns, 't'), pgpipe.input_expression(e.columns, e.template, e.condition), target, portion,
            e.store, pgpipe.column_list(e.key_columns, 's'), pgpipe.number_list(e.key_columns, 'i'))
            into rows, missing, other_text, other_model using e.model;
        select coalesce(least(100, 150.0 * sample / nullif(greatest(c.reltuples, 0), 0)), 100) into portion
          from pg_catalog.pg_class c where c.oid = e.store;
        execute format('select avg((not exists (select from %1$s t where (%2$s) = (%3$s)))::int) from %4$s s tablesample bernoulli (%5$s) '
                       'where s.chunk = 0', target, pgpipe.column_list(e.key_columns, 't'), pgpipe.column_list(e.key_columns, 's'),
                       e.store, portion) into orphans;
        return next;
    end loop;
end
$_$;


--
-- Name: FUNCTION embedding_drift(target regclass, sample integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.embedding_drift(target regclass, sample integer) IS 'Per embedding, over a random sample of about `sample` rows that have a text: the shares without a vector, with the vector of another text, and with that of another model than declared (of those with one); and the share of sampled vectors whose row is gone.';


--
-- Name: enable_embedding(regclass, name[], text, integer, text, text, text, integer, integer, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.enable_embedding(target regclass, columns name[], model text, dims integer, template text DEFAULT NULL::text, name text DEFAULT 'default'::text, condition text DEFAULT NULL::text, chunk_size integer DEFAULT NULL::integer, chunk_overlap integer DEFAULT 0, enqueue boolean DEFAULT true) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    key_columns name[] := pgpipe.key_columns(target);
    known pgpipe.embedding;
    store text;
begin
    if pgpipe.vector_schema() is null then
        raise exception 'vectors need the extension pgvector, which this database lacks' using errcode = 'PP006',
            hint = 'Install it (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`.';
    elsif key_columns is null then
        raise exception '% has no primary key, so its vectors could not be told apart', target using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    elsif key_columns && '{chunk,char_start,char_end,content_hash,model,vector}'::name[] then
        raise exception 'the key of % has a column by a name that its vectors need: %', target, key_columns using errcode = 'PP003',
            hint = 'Rename it: chunk, char_start, char_end, content_hash, model and vector are columns of the store, beside the key.';
    elsif name !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'an embedding cannot be called %', quote_literal(name) using errcode = 'PP003',
            hint = 'Up to 40 lower-case letters, digits and _, a letter first: the name becomes part of a table''s name.';
    end if;
    perform pgpipe.require_columns(target, columns);
    template := coalesce(template, (select string_agg(pgpipe.brace(c), E'\n' order by n) from unnest(columns) with ordinality k (c, n)));
    perform pgpipe.input_expression(columns, template);  -- refuses a template it cannot use
    condition := pgpipe.checked_condition(target, condition);
    perform pgpipe.drop_orphaned_embeddings();
    select * into known from pgpipe.embedding e where e.target = enable_embedding.target and e.name = enable_embedding.name;
    if found and (known.columns, known.template, known.condition, known.model, known.dims, known.chunk_size, known.chunk_overlap)
                 is distinct from (columns, template, condition, model, dims, chunk_size, chunk_overlap) then
        raise exception '% has an embedding % already: % of % with % dimensions', target, quote_ident(name), known.columns,
            known.model, known.dims using errcode = 'PP004',
            hint = format('Fill a second one beside it under another name, then pgpipe.switch_embedding(%1$L, …); or drop it first: '
                          'select pgpipe.disable_embedding(%1$L, %2$L).', target, name);
    elsif found then
        return known.embedding_id;
    end if;
    store := (select format('%I.%I', n.nspname, pgpipe.derived_name(c.relname, case name when 'default' then '_embedding'
                                                                                    else '_embedding_' || name end))
                from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where c.oid = enable_embedding.target);
    insert into pgpipe.embedding (target, name, store, key_columns, columns, template, condition, model, dims, chunk_size,
                                  chunk_overlap, active)
    values (target, name, pgpipe.create_store(target, store, key_columns, dims), key_columns, columns, template, condition, model,
            dims, chunk_size, chunk_overlap,
            not exists (select from pgpipe.embedding e where e.target = enable_embedding.target and e.active))
    returning * into known;
    perform pgpipe.watch(target);
    perform pgpipe.share(target);
    if enqueue then
        perform pgpipe.enqueue_all(known.embedding_id);
    end if;
    return known.embedding_id;
end
$_$;


--
-- Name: FUNCTION enable_embedding(target regclass, columns name[], model text, dims integer, template text, name text, condition text, chunk_size integer, chunk_overlap integer, enqueue boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.enable_embedding(target regclass, columns name[], model text, dims integer, template text, name text, condition text, chunk_size integer, chunk_overlap integer, enqueue boolean) IS 'Declares an embedding: creates its store and the triggers of the target, and enqueues every row (`enqueue` false: leave that to `pgpipe reconcile`, which holds no lock for long). `condition` is SQL over the row''s columns; rows for which it is not true have no vectors. The first one of a target is active. Returns its id. Twice is a no-op. Raises PP002 for an unknown column, PP003 for a bad template, condition or name of a key column, PP004 where another is declared, PP006 without pgvector, PP007 without a primary key.';


--
-- Name: enable_filters(regclass, name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.enable_filters(target regclass, columns name[], embedding text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, embedding);
    made regclass;
    keeper name := (select p.proowner::regrole::text from pg_catalog.pg_proc p where p.oid = 'pgpipe.copy_filters()'::regprocedure);
    event text;
begin
    if e.filters @> columns and e.filters <@ columns and e.filter_error is null then
        return;
    end if;
    perform pgpipe.require_filters(target, columns);
    -- Nothing may change between the copy and the triggers that keep it. The target first, as its writers do.
    execute format('lock table %s, %s in share row exclusive mode', target, e.store);
    perform pgpipe.disable_filters(target, e.name);
    if cardinality(columns) = 0 then
        return;
    end if;
    made := pgpipe.make_filter_table(e, columns);
    update pgpipe.embedding x set filters = enable_filters.columns, filter_table = made where x.embedding_id = e.embedding_id;
    execute format('grant select, insert, update on %s to %s', made, keeper);
    execute format('create or replace trigger pgpipe_filters after update on %s referencing old table as old_rows new table as new_rows '
                   'for each statement execute function pgpipe.copy_filters()', target);
    foreach event in array '{insert,update}'::text[] loop
        execute format('create or replace trigger pgpipe_filters_%1$s after %1$s on %2$s referencing new table as new_rows '
                       'for each statement execute function pgpipe.copy_vectors()', event, e.store);
    end loop;
    perform pgpipe.share(target);
end
$_$;


--
-- Name: FUNCTION enable_filters(target regclass, columns name[], embedding text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.enable_filters(target regclass, columns name[], embedding text) IS 'Makes vector searches that are filtered by these columns fast: they are kept, with the vectors, in a table beside the store, which triggers hold equal. Of the active embedding, or the one named. Other columns than before: it is made anew, while writers of the target wait (some 10 s for a million rows). Twice is a no-op. Raises PP002 for an unknown column, PP003 for one of an array type, PP008 without an embedding.';


--
-- Name: enable_search(regclass, text, regconfig, name, boolean, name, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.enable_search(target regclass, columns text, language regconfig DEFAULT 'english'::regconfig, column_name name DEFAULT 'search'::name, with_index boolean DEFAULT true, language_column name DEFAULT NULL::name, online boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    wanted pgpipe.search_fill;
    serving pgpipe.search;
    filling pgpipe.search_fill;
begin
    wanted.target := target;
    wanted.column_name := column_name;
    wanted.weights := pgpipe.parse_weights(columns);
    wanted.language := language;
    wanted.language_column := language_column;
    perform pgpipe.forget_search();
    if exists (select from pgpipe.search s where s.target = enable_search.target and not pgpipe.has_column(s.target, s.column_name)) then
        perform pgpipe.disable_search(target);  -- the column was dropped or renamed behind our back: what belonged to it goes too
    end if;
    select * into serving from pgpipe.search s where s.target = enable_search.target;
    select * into filling from pgpipe.search_fill f where f.target = enable_search.target;
    if serving.target is not null and (serving.weights, serving.language, serving.column_name, serving.language_column)
       is distinct from (wanted.weights, language, column_name, language_column) then
        raise exception '% is already searched by % in %', target, serving.weights, serving.language using errcode = 'PP004',
            hint = format('To change it, call pgpipe.alter_search(%L, …): searches go on meanwhile.', target);
    elsif filling.target is not null and serving.target is null
          and (filling.weights, filling.language, filling.column_name, filling.language_column)
              is distinct from (wanted.weights, language, column_name, language_column) then
        raise exception '% is being filled for a search by % in %', target, filling.weights, filling.language using errcode = 'PP004',
            hint = format('Finish it with `pgpipe fill-search`, or drop it: select pgpipe.disable_search(%L)', target);
    elsif serving.target is null and filling.target is null then
        perform pgpipe.check_search(wanted);
        if online then
            perform pgpipe.start_fill(wanted);
        else
            -- storage main: ranking reads this column of thousands of rows, so where a row is long, other columns are stored apart
            execute format('alter table %s add column %2$I tsvector generated always as (%s) stored, alter column %2$I set storage main',
                           target, column_name, pgpipe.search_expression(target, wanted.weights, language, language_column));
            insert into pgpipe.search (target, column_name, weights, language, language_column)
            values (target, column_name, wanted.weights, language, language_column);
        end if;
    end if;
    if with_index and not online and filling.target is null then
        perform pgpipe.index_search(target);
    end if;
    perform pgpipe.share(target);
end
$_$;


--
-- Name: FUNCTION enable_search(target regclass, columns text, language regconfig, column_name name, with_index boolean, language_column name, online boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.enable_search(target regclass, columns text, language regconfig, column_name name, with_index boolean, language_column name, online boolean) IS 'Adds a stored generated tsvector over the weighted columns, and its GIN index. The language is that of the table, or of each row where a column names it. Twice is a no-op. An existing table is rewritten under an exclusive lock; with `online` it is not: a trigger keeps a plain column, and fill_search fills it. Raises PP002 for an unknown column, PP003 for a column that cannot be used, PP004 where another search is declared.';


--
-- Name: enqueue_all(integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.enqueue_all(embedding_id integer) RETURNS bigint
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    e pgpipe.embedding;
    enqueued bigint;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = enqueue_all.embedding_id;
    -- In the order of the index: its pages are filled one after the other. Where the queue holds nothing of this embedding, nothing is
    -- looked for in the index, which costs as much as the job itself.
    execute format('insert into pgpipe.job (embedding_id, key) select $1, %s from %s t where %s order by 2',
                   pgpipe.key_json(e.key_columns, 't'), e.target, pgpipe.condition_on(e.condition, 't'))
            || case when exists (select from pgpipe.job j where j.embedding_id = e.embedding_id)
                    then ' on conflict (embedding_id, key) do nothing' else '' end
      using e.embedding_id;
    get diagnostics enqueued = row_count;
    return enqueued;
end
$_$;


--
-- Name: FUNCTION enqueue_all(embedding_id integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.enqueue_all(embedding_id integer) IS 'Enqueues every row of an embedding''s target that has no job yet. Returns how many.';


--
-- Name: enqueue_changes(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.enqueue_changes() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    SET jit TO 'off'
    AS $_$
declare
    e pgpipe.embedding;
    enqueue text;
    -- The change starts anew: another text, other attempts. A lease is left to its holder, who finds that gen has moved.
    again constant text := $sql$
        on conflict (embedding_id, key) do update
           set gen = j.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when j.lease_token is null then excluded.visible_at else j.visible_at end $sql$;
begin
    for e in select * from pgpipe.embedding x where x.target = tg_relid loop
        if tg_op = 'INSERT' then
            enqueue := format('insert into pgpipe.job as j (embedding_id, key) select $1, %s from new_rows n where %s',
                              pgpipe.key_json(e.key_columns, 'n'), pgpipe.condition_on(e.condition, 'n'));
            if exists (select from new_rows offset 1000) then  -- fewer are not worth a subtransaction
                begin  -- a new row has no job; looking for it in the index first costs as much as the job itself
                    execute enqueue using e.embedding_id;
                    continue;
                exception when unique_violation then
                    null;
                end;
            end if;
            execute enqueue || again using e.embedding_id;
        elsif tg_op = 'UPDATE' then
            -- A changed key is a row that went and a row that came.
            execute format($sql$
                delete from pgpipe.job j using old_rows o
                 where j.embedding_id = $1 and j.key = %1$s
                   and not exists (select from new_rows n where (%2$s) = (%3$s))
                $sql$, pgpipe.key_json(e.key_columns, 'o'), pgpipe.column_list(e.key_columns, 'n'),
                pgpipe.column_list(e.key_columns, 'o')) using e.embedding_id;
            execute format($sql$
                insert into pgpipe.job as j (embedding_id, key)
                select $1, %1$s from new_rows n left join old_rows o on (%2$s) = (%3$s)
                 where case when o.%4$I is null then true
                            when %7$s then not %8$s or (%5$s) is distinct from (%6$s)
                            else %8$s end
                $sql$, pgpipe.key_json(e.key_columns, 'n'), pgpipe.column_list(e.key_columns, 'n'),
                pgpipe.column_list(e.key_columns, 'o'), e.key_columns[1],
                pgpipe.input_texts(e.columns, 'n'), pgpipe.input_texts(e.columns, 'o'),
                pgpipe.condition_on(e.condition, 'n'), pgpipe.condition_on(e.condition, 'o')) || again using e.embedding_id;
        elsif tg_op = 'DELETE' then
            execute format('delete from pgpipe.job j using old_rows o where j.embedding_id = $1 and j.key = %s',
                           pgpipe.key_json(e.key_columns, 'o')) using e.embedding_id;
        else  -- TRUNCATE
            delete from pgpipe.job j where j.embedding_id = e.embedding_id;
        end if;
    end loop;
    return null;
end
$_$;


--
-- Name: FUNCTION enqueue_changes(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.enqueue_changes() IS 'Trigger: one job per row whose key or input columns changed, or which entered or left the condition; none for rows that went. It only writes the queue, and never touches a lease: the worker that holds one finds that gen has moved.';


--
-- Name: ensure_search(regclass, text, regconfig, name, name, bigint); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.ensure_search(target regclass, columns text, language regconfig, column_name name DEFAULT 'search'::name, language_column name DEFAULT NULL::name, online_above bigint DEFAULT 8000000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
    if exists (select from pgpipe.search s where s.target = ensure_search.target and s.column_name = ensure_search.column_name) then
        perform pgpipe.alter_search(target, columns, language, coalesce(language_column, ''));
    else
        perform pgpipe.enable_search(target, columns, language, column_name, true, language_column,
            exists (select from pgpipe.search_fill f where f.target = ensure_search.target)
            or pg_catalog.pg_relation_size(target) > online_above);
    end if;
    if not exists (select from pgpipe.search_fill f where f.target = ensure_search.target) then
        perform pgpipe.index_search(target);
        return false;
    end if;
    return true;
end
$$;


--
-- Name: FUNCTION ensure_search(target regclass, columns text, language regconfig, column_name name, language_column name, online_above bigint); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.ensure_search(target regclass, columns text, language regconfig, column_name name, language_column name, online_above bigint) IS 'Makes the declared search the one of the target, whatever it had before: at once for a new one of few bytes, else online. Returns whether something is being filled. Raises as enable_search.';


--
-- Name: estimate(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.estimate(target regclass, condition text, OUT rows double precision, OUT cost double precision) RETURNS record
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    plan json;
begin
    execute format('explain (format json) select from %s t where %s', target, condition) into plan;
    rows := plan #>> '{0,Plan,Plan Rows}';
    cost := plan #>> '{0,Plan,Total Cost}';
end
$$;


--
-- Name: FUNCTION estimate(target regclass, condition text, OUT rows double precision, OUT cost double precision); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.estimate(target regclass, condition text, OUT rows double precision, OUT cost double precision) IS 'How many rows `t` of a target the planner expects a condition (SQL text) to leave, and what finding them costs in its units. Volatile because EXPLAIN is refused elsewhere.';


--
-- Name: evolve(regclass, jsonb, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.evolve(target regclass, added jsonb, widened jsonb) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    change record;
    widened_table regclass;
begin
    for change in select * from jsonb_to_recordset(added) c (name text, type text) loop
        execute format('alter table %s add column %I %s', target, change.name, change.type);
    end loop;
    for change in select * from jsonb_to_recordset(widened) c (name text, type text) loop
        -- A store repeats the key, a filter table the key and more: with the old type they could not take the new values.
        for widened_table in
            select target
            union all select e.store from pgpipe.embedding e where e.target = evolve.target and change.name = any (e.key_columns)
            union all select e.filter_table from pgpipe.embedding e
                       where e.target = evolve.target and e.filter_error is null
                         and change.name = any (e.filters || case when e.filters <> '{}' then e.key_columns else '{}' end)
        loop
            execute format('alter table %s alter column %I type %s', widened_table, change.name, change.type);
        end loop;
    end loop;
end
$$;


--
-- Name: FUNCTION evolve(target regclass, added jsonb, widened jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.evolve(target regclass, added jsonb, widened jsonb) IS 'Adds columns, NULL in every row, and widens types, [{"name", "type"}] each, also of their copies in stores and filter tables. A widened column rewrites the table.';


--
-- Name: execute_briefly(text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.execute_briefly(statement text) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET lock_timeout TO '500ms'
    AS $$
declare
    attempts constant int := 60;
begin
    for attempt in 1 .. attempts loop
        begin
            execute statement;
            return;
        exception when lock_not_available then
            -- Whoever waits for a lock holds up all that come after: give way, and try again.
            if attempt = attempts then
                raise;
            end if;
        end;
        perform pg_sleep(0.1 + random());
    end loop;
end
$$;


--
-- Name: FUNCTION execute_briefly(statement text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.execute_briefly(statement text) IS 'Executes a statement that needs a strong lock, waiting for it half a second at a time so that others get through in between. Raises lock_not_available after a minute or so.';


--
-- Name: extend_lease(integer, uuid, jsonb[], interval); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.extend_lease(embedding_id integer, token uuid, keys jsonb[], lease interval DEFAULT '00:05:00'::interval) RETURNS integer
    LANGUAGE sql STRICT
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
    with mine as materialized (
        select j.tid from unnest(extend_lease.keys) w (key)
         cross join lateral (select j.ctid as tid from pgpipe.job j
                              where j.embedding_id = extend_lease.embedding_id and j.key = w.key and j.lease_token = extend_lease.token
                                for update skip locked) j
    ), extended as (
        update pgpipe.job j set visible_at = now() + extend_lease.lease from mine m where j.ctid = m.tid
        returning 1
    )
    select count(*)::int from extended
$$;


--
-- Name: FUNCTION extend_lease(embedding_id integer, token uuid, keys jsonb[], lease interval); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.extend_lease(embedding_id integer, token uuid, keys jsonb[], lease interval) IS 'Holds on for another `lease` from now. Returns how many of the keys are still held.';


--
-- Name: fail_jobs(integer, uuid, jsonb[], bigint[], text, boolean, interval); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.fail_jobs(embedding_id integer, token uuid, keys jsonb[], gens bigint[], error text, charge boolean, retry_after interval DEFAULT NULL::interval) RETURNS integer
    LANGUAGE sql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
    -- Doubling from five seconds to an hour, spread by a fifth so that failures do not come back together.
    with mine as materialized (
        select j.tid, j.gen = w.gen as same, j.attempts + fail_jobs.charge::int as attempts, e.max_attempts
          from pgpipe.embedding e
         cross join unnest(fail_jobs.keys, fail_jobs.gens) w (key, gen)
         cross join lateral (select j.ctid as tid, j.gen, j.attempts from pgpipe.job j
                              where j.embedding_id = fail_jobs.embedding_id and j.key = w.key and j.lease_token = fail_jobs.token
                                for update skip locked) j
         where e.embedding_id = fail_jobs.embedding_id
    ), judged as (
        select m.*, m.same and fail_jobs.charge and m.attempts >= m.max_attempts as dead from mine m
    ), failed as (
        update pgpipe.job j
           set lease_token = null, leased_by = null,
               last_error = case when m.same then fail_jobs.error else j.last_error end,
               attempts = case when m.same then m.attempts else j.attempts end,
               dead_at = case when m.dead then now() end,
               visible_at = case when m.dead then 'infinity' when not m.same then now()
                                 else now() + coalesce(fail_jobs.retry_after, least(interval '5 seconds' * 2 ^ least(m.attempts, 10),
                                                       interval '1 hour') * (0.9 + 0.2 * random())) end
          from judged m where j.ctid = m.tid
        returning 1
    )
    select count(*)::int from failed
$$;


--
-- Name: FUNCTION fail_jobs(embedding_id integer, token uuid, keys jsonb[], gens bigint[], error text, charge boolean, retry_after interval); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.fail_jobs(embedding_id integer, token uuid, keys jsonb[], gens bigint[], error text, charge boolean, retry_after interval) IS 'Gives the jobs back with the error. `charge` counts an attempt against them; after max_attempts a job is dead: kept, listed, retried by command. A job whose row changed meanwhile is given back as it is: that text has not failed. Returns how many were still this worker''s.';


--
-- Name: fill_batch(regclass, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.fill_batch(target regclass, rows integer DEFAULT 2000, OUT filled bigint, OUT total bigint, OUT done boolean) RETURNS record
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $_$
declare
    f pgpipe.search_fill;
    last_block bigint;
    picked bigint;
    written bigint;
begin
    select * into f from pgpipe.search_fill x where x.target = fill_batch.target for update;
    if not found then
        raise exception 'nothing is being filled in %', target using errcode = 'PP005',
            hint = 'It begins with enable_search(…, online => true) or alter_search.';
    end if;
    total := pgpipe.known_rows(f.target);
    last_block := f.next_block + greatest(1, rows * f.end_block / greatest(total, 1));
    -- A locked row is left for another round: a batch that waits for a writer could be in a deadlock with it. The trigger computes.
    execute format($sql$
        with picked as materialized (
            select b.tableoid as part, b.ctid as place from %1$s b
             where b.ctid >= $1 and b.ctid < $2 and b.%2$I is null for no key update skip locked
        ), written as (
            update %1$s t set %2$I = null from picked b
             where t.tableoid = b.part and t.ctid = b.place and t.ctid >= $1 and t.ctid < $2
            returning t.%2$I is not null as filled
        )
        select (select count(*) from picked), (select count(*) from written w where w.filled)
        $sql$, f.target, f.column_name) into picked, written
        using format('(%s,0)', f.next_block)::tid, format('(%s,0)', last_block)::tid;
    if written < picked then  -- else it would be tried for ever
        raise exception '% rows of % could not be filled: a trigger of the table undoes it', picked - written, f.target
            using errcode = 'PP005', hint = 'Disable that trigger until the column is filled.';
    end if;
    done := false;
    if last_block >= f.end_block then
        execute format('select not exists (select from %s t where t.%I is null)', f.target, f.column_name) into done;
        last_block := case when done then f.end_block else 0 end;
    end if;
    update pgpipe.search_fill x set next_block = last_block, filled = x.filled + written where x.target = fill_batch.target
        returning x.filled into filled;
end
$_$;


--
-- Name: FUNCTION fill_batch(target regclass, rows integer, OUT filled bigint, OUT total bigint, OUT done boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.fill_batch(target regclass, rows integer, OUT filled bigint, OUT total bigint, OUT done boolean) IS 'Fills the search column in about so many rows, from where the last batch ended: how many are filled by now, how many rows the target has (an estimate), and whether none is left. A batch is a transaction of its caller''s. Raises PP005 where nothing is being filled, and where a trigger of the table undoes it.';


--
-- Name: fill_search(regclass, integer); Type: PROCEDURE; Schema: pgpipe; Owner: -
--

CREATE PROCEDURE pgpipe.fill_search(IN target regclass, IN rows integer DEFAULT 2000)
    LANGUAGE plpgsql
    AS $$
declare
    batch record;
begin
    loop
        select * into batch from pgpipe.fill_batch(target, rows);
        commit;
        raise info '% of about % rows', batch.filled, batch.total;
        exit when batch.done;
    end loop;
    if exists (select from pgpipe.missing_search_indexes(target)) then
        raise info 'filled; now run, each by itself: %; then select pgpipe.finish_search(%)',
            (select string_agg(i.statement, '; ') from pgpipe.search_index_statements(target) i (statement)), quote_literal(target);
    else
        perform pgpipe.finish_search(target);
    end if;
end
$$;


--
-- Name: PROCEDURE fill_search(IN target regclass, IN rows integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON PROCEDURE pgpipe.fill_search(IN target regclass, IN rows integer) IS 'Fills a search column batch by batch, a commit each: stop it when you like, and call it again to go on. Says what is left to do.';


--
-- Name: filter_comparison(text, text, oid, text, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.filter_comparison(name text, expression text, type oid, operator text, wanted jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    element oid := (select t.typelem from pg_catalog.pg_type t where t.oid = type and t.typcategory = 'A');
    one oid := coalesce(element, type);  -- an array holds a value, another column is it
    -- A type of an extension brings its own operators: citext compares without case.
    home name := coalesce((select n.nspname from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
                            where o.oprname = '=' and o.oprleft = one and o.oprright = one), 'pg_catalog');
    sign text := case operator when 'lt' then '<' when 'lte' then '<=' when 'gt' then '>' when 'gte' then '>=' else '=' end;
begin
    case
    when operator = 'ne' then
        return format('(%s) is not true', pgpipe.filter_comparison(name, expression, type, 'eq', wanted));
    when operator = 'null' and jsonb_typeof(wanted) = 'boolean' then
        return format('%s is %s null', expression, case when wanted = 'true' then '' else 'not' end);
    when operator = 'in' and jsonb_typeof(wanted) = 'array' and element is not null then
        return coalesce((select string_agg(pgpipe.filter_comparison(name, expression, type, 'eq', e.v), ' or ')
                           from jsonb_array_elements(wanted) e (v)), 'false');
    when operator = 'in' and jsonb_typeof(wanted) = 'array' then
        return (select coalesce(nullif(concat_ws(' or ',
                           case when bool_or(e.v = 'null') then format('%s is null', expression) end,
                           format('%s operator(%I.=) any (array[', expression, home)
                           || string_agg(pgpipe.filter_literal(name, e.v, type), ', ') filter (where e.v <> 'null') || '])'), ''), 'false')
                  from jsonb_array_elements(wanted) e (v));
    when operator in ('eq', 'lt', 'lte', 'gt', 'gte') then
        return case
            when operator = 'eq' and jsonb_typeof(wanted) = 'null' then format('%s is null', expression)
            when operator = 'eq' and element is not null and jsonb_typeof(wanted) <> 'array' then
                format('%s operator(%I.=) any (%s)', pgpipe.filter_literal(name, wanted, element), home, expression)
            else format('%s operator(%I.%s) %s', expression, case when element is not null then 'pg_catalog' else home end, sign,
                        pgpipe.filter_literal(name, wanted, type)) end;
    when operator in ('null', 'in') then
        raise exception 'filter on %: % takes %', quote_ident(name), quote_literal(operator),
            case operator when 'null' then 'true or false' else 'a list' end using errcode = 'PP003';
    else
        raise exception 'filter on %: no comparison called %', quote_ident(name), quote_literal(operator)
            using errcode = 'PP003', hint = 'There are eq, ne, lt, lte, gt, gte, in and null.';
    end case;
end
$$;


--
-- Name: FUNCTION filter_comparison(name text, expression text, type oid, operator text, wanted jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.filter_comparison(name text, expression text, type oid, operator text, wanted jsonb) IS 'SQL text: one comparison of a filter. A value is compared with an array''s elements, a list with the whole of it. Raises PP003 for another comparison or a value that does not fit it.';


--
-- Name: filter_condition(regclass, text, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.filter_condition(target regclass, alias text, filter jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    name text;
    wanted jsonb;
    type oid;
    expression text;
    parts text[] := '{}';
begin
    if filter is null or jsonb_typeof(filter) = 'null' then
        return 'true';
    elsif jsonb_typeof(filter) <> 'object' then
        raise exception 'a filter is a JSON object, not %', jsonb_typeof(filter) using errcode = 'PP003',
            hint = 'Write {"column": value}, {"column": [one, of]} or {"column": {"gte": 1, "lt": 9}}.';
    end if;
    perform pgpipe.require_columns(target, array(select jsonb_object_keys(filter))::name[]);
    for name, wanted in select * from jsonb_each(filter) loop
        select pgpipe.base_type(a.atttypid) into type from pg_catalog.pg_attribute a where a.attrelid = target and a.attname = name;
        expression := format(case when type = 'json'::regtype then '%s.%I::pg_catalog.jsonb' else '%s.%I' end, alias, name);
        parts := parts || case jsonb_typeof(wanted)
            when 'array' then array[pgpipe.filter_comparison(name, expression, type, 'in', wanted)]
            when 'object' then array(select pgpipe.filter_comparison(name, expression, type, o.key, o.value)
                                       from jsonb_each(wanted) o)
            else array[pgpipe.filter_comparison(name, expression, type, 'eq', wanted)] end;
    end loop;
    return coalesce((select string_agg('(' || p || ')', ' and ') from unnest(parts) p), 'true');
end
$$;


--
-- Name: FUNCTION filter_condition(target regclass, alias text, filter jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.filter_condition(target regclass, alias text, filter jsonb) IS 'SQL text of a filter over the row `alias`: {"column": value | null | [values] | {"eq"|"ne"|"lt"|"lte"|"gt"|"gte": value, "in": [values], "null": true|false}}, all of which must hold. A column of an array type is compared element by element. Names and values are quoted. Raises PP002 for an unknown column, PP003 for a filter of another shape.';


--
-- Name: filter_literal(text, jsonb, oid); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.filter_literal(name text, value jsonb, type oid) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    element oid := (select t.typelem from pg_catalog.pg_type t where t.oid = type and t.typcategory = 'A');
    number numeric;
begin
    if value is null or jsonb_typeof(value) = 'null' then
        raise exception 'filter on %: null cannot be compared', quote_ident(name) using errcode = 'PP003',
            hint = 'Write {"column": null} for rows without a value, {"column": {"ne": null}} for those with one.';
    elsif type in ('json'::regtype, 'jsonb'::regtype) then
        return format('%L::pg_catalog.jsonb', value);
    elsif jsonb_typeof(value) = 'array' and element is not null then
        return format('array[%s]::%s', (select string_agg(pgpipe.filter_literal(name, e.v, element), ', ' order by e.n)
                                          from jsonb_array_elements(value) with ordinality e (v, n)),
                      pg_catalog.format_type(type, -1));
    elsif jsonb_typeof(value) in ('array', 'object') then
        raise exception 'filter on %: % is no single value', quote_ident(name), value using errcode = 'PP003',
            hint = 'Write {"column": value}, {"column": [one, of]} or {"column": {"gte": 1, "lt": 9}}.';
    elsif jsonb_typeof(value) = 'number' and type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then
        -- 1.0 is 1, and a bound may lie beyond the type or between two integers.
        number := value::text::numeric;
        return case when number = trunc(number) and abs(number) < 1e18 then format('%L::pg_catalog.int8', trunc(number))
                    else format('%L::pg_catalog.numeric', number) end;
    end if;
    return format('%L::%s', value #>> '{}', pg_catalog.format_type(type, -1));  -- without a length: a cast would cut the value
end
$$;


--
-- Name: FUNCTION filter_literal(name text, value jsonb, type oid); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.filter_literal(name text, value jsonb, type oid) IS 'SQL text: a value of a filter as a literal of the column''s type. Raises PP003 for null and for a list or object in place of a value.';


--
-- Name: find_violations(regclass, regclass, name[], name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.find_violations(target regclass, stage regclass, columns name[], key name[]) RETURNS TABLE(part bigint, row_number bigint, rule name, of_columns name[])
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $_$
declare
    known record;
    shown text;
begin
    -- The row as it would become: a column that the files lack keeps the value of the row that is there.
    select string_agg(case when a.attname = any (columns) then format('s.%1$I as %1$I', a.attname)
                           when a.attgenerated <> '' or key = '{}' then format('null::%s as %I', t.type_name, a.attname)
                           else format('t.%1$I as %1$I', a.attname) end, ', ' order by a.attnum)
      into shown
      from pg_catalog.pg_attribute a, pgpipe.column_type(a.atttypid, a.atttypmod) t
     where a.attrelid = target and a.attnum > 0 and not a.attisdropped;
    for known in
        select c.conname, pg_catalog.pg_get_expr(c.conbin, c.conrelid) as condition,
               array(select a.attname from pg_catalog.pg_attribute a where a.attrelid = target and a.attnum = any (c.conkey)) as of_columns
          from pg_catalog.pg_constraint c where c.conrelid = target and c.contype = 'c' order by c.conname
    loop
        return query execute format($sql$
            select r.pgpipe_part, r.pgpipe_number, %L::name, %L::name[]
              from (select s.pgpipe_part, s.pgpipe_number, %s from %s s %s) r where not (%s) $sql$,
            known.conname, known.of_columns, shown, stage,
            case when key = '{}' then '' else format('left join %s t on (%s) = (%s)', target, pgpipe.column_list(key, 't'),
                                                     pgpipe.column_list(key, 's')) end,
            known.condition);
    end loop;
end
$_$;


--
-- Name: FUNCTION find_violations(target regclass, stage regclass, columns name[], key name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.find_violations(target regclass, stage regclass, columns name[], key name[]) IS 'The staged rows that a CHECK of the target refuses, by the pgpipe_part and pgpipe_number that were staged with them.';


--
-- Name: finish_jobs(integer, uuid, text, jsonb[], bigint[], bytea[], boolean[], boolean[], integer[], integer[], integer[], integer[], public.vector[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.finish_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], fresh boolean[], twin boolean[], chunk_of integer[], chunks integer[], char_starts integer[], char_ends integer[], vectors public.vector[], OUT finished integer, OUT stale integer, OUT locked integer[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $_$
declare
    e pgpipe.embedding;
    key_values text;
    own_key text;
    done int[];
    gone int[];
    written int[];
    copied int[] := '{}';  -- twins whose source is there
    sources tid[];         -- the first chunk of each source
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = finish_jobs.embedding_id;
    key_values := (select string_agg(pgpipe.key_value(e.target, c, '$1[c.of]'), ', ' order by n)
                     from unnest(e.key_columns) with ordinality k (c, n));
    own_key := pgpipe.key_match(e.target, e.key_columns, 's', 'w.key');
    if true = any (twin) then
        -- The vectors to copy are locked first. Where they are gone or changed, the row looks changed to settle_jobs and is given back.
        execute format($sql$
            with source as materialized (
                select w.n, o.tid from unnest($1, $2, $3) with ordinality w (key, hash, twin, n)
                 cross join lateral (select s.ctid as tid from %s s
                                      where s.content_hash = w.hash and s.model = $4 and s.chunk = 0 and not (%s)
                                      limit 1 for share skip locked) o
                 where w.twin
            )
            select coalesce(array_agg(n), '{}'), array_agg(tid) from source
            $sql$, e.store, own_key) into copied, sources using keys, hashes, twin, e.model;
        hashes := array(select case when w.twin and w.n <> all (copied) then '\x00'::bytea else w.hash end
                          from unnest(hashes, twin) with ordinality w (hash, twin, n) order by w.n);
    end if;
    select s.done, s.gone, s.stale, s.locked into done, gone, stale, locked
      from pgpipe.settle_jobs(embedding_id, token, worker, keys, gens, hashes) s;
    finished := cardinality(keys) - stale - cardinality(locked);
    if copied && done then  -- before anything is deleted: a source may be of this batch
        execute format($sql$
            insert into %1$s as s (%2$s, chunk, char_start, char_end, content_hash, model, vector)
            select %3$s, o.chunk, o.char_start, o.char_end, o.content_hash, o.model, o.vector
              from unnest($2, $3) c (of, source)
              join %1$s f on f.ctid = c.source
              join %1$s o on (%4$s) = (%5$s)
             where c.of = any ($4)
             order by $1[c.of], o.chunk
                on conflict (%2$s, chunk) do update
               set char_start = excluded.char_start, char_end = excluded.char_end, content_hash = excluded.content_hash,
                   model = excluded.model, vector = excluded.vector
            $sql$, e.store, pgpipe.column_list(e.key_columns), key_values, pgpipe.column_list(e.key_columns, 'o'),
            pgpipe.column_list(e.key_columns, 'f')) using keys, copied, sources, done;
        execute format('delete from %s s using unnest($1, $2) w (key, hash) where %s and (s.content_hash <> w.hash or s.model <> $3)',
                       e.store, own_key)
            using array(select keys[n] from unnest(copied) n where n = any (done) order by n),
                  array(select hashes[n] from unnest(copied) n where n = any (done) order by n), e.model;
    end if;
    if gone <> '{}' then  -- what a delete left behind whose foreign key was switched off
        execute format('delete from %s s using unnest($1) w (key) where %s', e.store, own_key)
            using array(select keys[n] from unnest(gone) n);
    end if;
    written := array(select n from unnest(done) n where not fresh[n] and not twin[n]);
    execute format('delete from %s s using unnest($1, $2) w (key, chunks) where %s and s.chunk >= w.chunks',
                   e.store, own_key)
        using array(select keys[n] from unnest(written) n order by n),
              array(select sum(c.chunk) from (select n, 0 as chunk, true as wanted from unnest(written) n
                                               union all select c, 1, false from unnest(chunk_of) c) c
                     group by c.n having bool_or(c.wanted) order by c.n);
    execute format($sql$
        insert into %1$s as s (%2$s, chunk, char_start, char_end, content_hash, model, vector)
        select %3$s, c.chunk, c.char_start, c.char_end, $2[c.of], $3, c.vector
          from unnest($4, $5, $6, $7, $8) c (of, chunk, char_start, char_end, vector)
         where c.of = any ($9)
         order by $1[c.of], c.chunk
            on conflict (%2$s, chunk) do update
           set char_start = excluded.char_start, char_end = excluded.char_end, content_hash = excluded.content_hash,
               model = excluded.model, vector = excluded.vector
        $sql$, e.store, pgpipe.column_list(e.key_columns), key_values)
        using keys, hashes, e.model, chunk_of, chunks, char_starts, char_ends, vectors, written;
end
$_$;


--
-- Name: FUNCTION finish_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], fresh boolean[], twin boolean[], chunk_of integer[], chunks integer[], char_starts integer[], char_ends integer[], vectors public.vector[], OUT finished integer, OUT stale integer, OUT locked integer[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.finish_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], fresh boolean[], twin boolean[], chunk_of integer[], chunks integer[], char_starts integer[], char_ends integer[], vectors public.vector[], OUT finished integer, OUT stale integer, OUT locked integer[]) IS 'Writes the vectors of a batch and acknowledges its jobs, both or neither. chunk_of numbers (from 1) the job of each chunk; a job without chunks loses its vectors unless it is fresh or gets those of its twin. `stale` counts the jobs that had passed to another worker: theirs are dropped. `locked` numbers those that a writer has locked: release them a little later.';


--
-- Name: finish_search(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.finish_search(target regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    f pgpipe.search_fill;
    serving pgpipe.search;
    left_over boolean;
    missing text;
    formerly name;
begin
    select * into f from pgpipe.search_fill x where x.target = finish_search.target for update;
    if not found then
        return;
    end if;
    execute format('select exists (select from %s t where t.%I is null)', f.target, f.column_name) into left_over;
    if left_over then
        raise exception 'the search of % is not filled yet', target using errcode = 'PP005',
            hint = format('Run `pgpipe fill-search`, or call pgpipe.fill_search(%L).', target);
    end if;
    select string_agg(i.statement, '; ') into missing from pgpipe.search_index_statements(target) i (statement);
    if missing is not null then
        raise exception 'the search of % has no index yet', target using errcode = 'PP005', hint = 'Run ' || missing;
    end if;
    perform pgpipe.execute_briefly(format('lock table %s in access exclusive mode', target));
    delete from pgpipe.search s where s.target = finish_search.target returning * into serving;
    if serving.target is not null then
        perform pgpipe.drop_search_column(target, serving.column_name);
        execute format('alter table %s rename column %I to %I', target, f.column_name, serving.column_name);
        formerly := f.column_name;
        f.column_name := serving.column_name;
        perform pgpipe.keep_search_column(f, formerly);
    end if;
    insert into pgpipe.search (target, column_name, weights, language, language_column, by_trigger, documents, mean_length)
    values (target, f.column_name, f.weights, f.language, f.language_column, true,
            coalesce(serving.documents, 0), coalesce(serving.mean_length, 0));
    delete from pgpipe.search_fill x where x.target = finish_search.target;
end
$$;


--
-- Name: FUNCTION finish_search(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.finish_search(target regclass) IS 'Searches go to the filled column from this statement on; the one that served is dropped, and the new one takes its name. Nothing is done where nothing is being filled. Raises PP005 where rows are left, or an index.';


--
-- Name: forget_files(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.forget_files() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    delete from pgpipe.load_file f where f.entity = tg_argv[0] and f.schema = tg_argv[1];
    return null;
end
$$;


--
-- Name: FUNCTION forget_files(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.forget_files() IS 'Trigger: a truncated target holds no file.';


--
-- Name: forget_jobs(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.forget_jobs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
    delete from pgpipe.job j using old_rows o where j.embedding_id = o.embedding_id;
    return null;
end
$$;


--
-- Name: FUNCTION forget_jobs(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.forget_jobs() IS 'Trigger on pgpipe.embedding: the jobs of a dropped embedding go with it.';


--
-- Name: forget_search(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.forget_search() RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
    delete from pgpipe.search_fill f where not exists (select from pg_catalog.pg_class c where c.oid = f.target);
    with gone as (
        delete from pgpipe.search s where not exists (select from pg_catalog.pg_class c where c.oid = s.target) returning s.target
    )
    delete from pgpipe.lexeme l using gone g where l.target = g.target;
$$;


--
-- Name: FUNCTION forget_search(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.forget_search() IS 'Deletes what is kept about targets that were dropped.';


--
-- Name: grant_roles(name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.grant_roles(targets name DEFAULT 'public'::name) RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    part record;
begin
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe'::regnamespace and p.prosecdef loop
        execute format('revoke all on function %s from public', part.routine);
    end loop;
    if not pgpipe.roles_in_use() then
        return;
    end if;
    return query select pgpipe.own_parts();
    perform pgpipe.grant_schemas(targets);
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe'::regnamespace and p.prosecdef and p.prorettype <> 'trigger'::regtype loop
        execute format('grant execute on function %s to pgpipe_embedder', part.routine);
    end loop;
    for part in select c.relname, c.oid::regclass as relation, c.relkind from pg_catalog.pg_class c
                 where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relname !~ '^_?yoyo' loop
        if part.relkind = 'v' or part.relname = 'sql_file' then
            execute format('grant select on %s to pgpipe_loader, pgpipe_embedder, pgpipe_reader', part.relation);
        else
            execute format('grant select, insert, update, delete on %s to pgpipe_loader', part.relation);
            if part.relname in ('job', 'finished') then
                execute format('grant select, insert, update, delete on %s to pgpipe_embedder', part.relation);
            elsif part.relname = 'embedding' then
                execute format('grant select on %s to pgpipe_embedder', part.relation);
            end if;
            if part.relname not in ('job', 'rejected_row') then  -- which hold keys and contents of rows
                execute format('grant select on %s to pgpipe_reader', part.relation);
            end if;
        end if;
    end loop;
end
$$;


--
-- Name: FUNCTION grant_roles(targets name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.grant_roles(targets name) IS 'Takes functions with their owner''s rights from PUBLIC, and where this database uses the roles, grants each what its part needs of what is there now. `pgpipe migrate` ends with it.';


--
-- Name: grant_schemas(name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.grant_schemas(targets name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    schema name;
begin
    grant usage on schema pgpipe to pgpipe_loader, pgpipe_embedder, pgpipe_reader;
    grant usage, create on schema pgpipe_staging to pgpipe_loader;
    foreach schema in array array[targets, pgpipe.vector_schema()] loop
        if schema is not null and has_schema_privilege(schema, 'usage with grant option') then
            execute format('grant usage on schema %I to pgpipe_loader, pgpipe_embedder, pgpipe_reader', schema);
        end if;
    end loop;
    if has_schema_privilege(targets, 'create with grant option') then
        execute format('grant create on schema %I to pgpipe_loader', targets);
    end if;
end
$$;


--
-- Name: FUNCTION grant_schemas(targets name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.grant_schemas(targets name) IS 'Lets the three roles into pgpipe, the schema of the targets and that of pgvector; the loader may create tables among the targets.';


--
-- Name: has_column(regclass, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.has_column(target regclass, column_name name) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    select exists (select from pg_catalog.pg_attribute a where a.attrelid = has_column.target and a.attname = has_column.column_name
                      and a.attnum > 0 and not a.attisdropped)
$$;


--
-- Name: FUNCTION has_column(target regclass, column_name name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.has_column(target regclass, column_name name) IS 'Whether the table has a column of this name; false for NULL.';


--
-- Name: headline_expression(regclass, text, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.headline_expression(target regclass, alias text, words text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    select coalesce((
        select format('pgpipe.unpaired(ts_headline(%s, pgpipe.paired(%L, concat_ws(E''\n'', %s)), %s, %L))',
                      pgpipe.language_expression(s.target, s.language, s.language_column,
                                                 pgpipe.column_list(array[s.language_column], alias)),
                      s.language,
                      string_agg(format('nullif(%s::text, '''')', pgpipe.column_list(array[a.attname], alias)), ', '
                                 order by w.value, a.attnum), words,
                      'StartSel=<b>, StopSel=</b>, MaxWords=30, MinWords=12')
          from pgpipe.search s cross join lateral jsonb_each_text(s.weights) w
          join pg_catalog.pg_attribute a on a.attrelid = s.target and a.attname = w.key
         where s.target = headline_expression.target and has_column_privilege(a.attrelid, a.attnum, 'select')
         group by s.target), 'null::text')
$$;


--
-- Name: FUNCTION headline_expression(target regclass, alias text, words text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.headline_expression(target regclass, alias text, words text) IS 'SQL text: the part of the row `alias` that answers the question, `words` (a tsquery expression) between <b> and </b>, of the columns that the caller may read.';


--
-- Name: hybrid_search(regclass, text, public.vector, integer, jsonb, double precision, double precision, integer, integer, integer, boolean, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.hybrid_search(target regclass, query text, query_vector public.vector, k integer DEFAULT 10, filter jsonb DEFAULT NULL::jsonb, text_weight double precision DEFAULT 1, vector_weight double precision DEFAULT 1, rrf_k integer DEFAULT NULL::integer, candidates integer DEFAULT 100, skip integer DEFAULT 0, prefix boolean DEFAULT false, embedding text DEFAULT NULL::text) RETURNS TABLE(key jsonb, score double precision, text_rank integer, vector_rank integer, passage text, "row" jsonb)
    LANGUAGE plpgsql STABLE ROWS 10
    SET search_path TO ''
    SET jit TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, embedding);
    languages regconfig[] := pgpipe.search_languages(target);
begin
    perform pgpipe.require_page(k, skip);
    if (text_weight between 0 and 1e6 and vector_weight between 0 and 1e6 and coalesce(rrf_k, 0) >= 0) is not true then
        raise exception 'weights are numbers from 0 to a million, rrf_k one from 0 on, not %, % and %', text_weight, vector_weight, rrf_k
            using errcode = 'PP003';
    end if;
    return query execute format($sql$
        with words as (
            select w.key, w.rank, coalesce(1.0::float8 / ($9 + w.rank), (w.score - w.least) / nullif(w.best - w.least, 0), 1) as share
              from (select r.key, r.rank::int, r.score, max(r.score) over () as best,
                           -- Where the list has room for more, all other rows hold none of the words.
                           case when count(*) over () < greatest($5, $4) then 0 else min(r.score) over () end as least
                      from pgpipe.rank_text($1, $2, greatest($5, $4), $6, $11) with ordinality r (key, score, rank)) w
        ), meaning as (
            select m.*, coalesce(1.0::float8 / ($9 + m.rank), (m.score - m.least) / nullif(m.best - m.least, 0), 1) as share
              from (select r.*, row_number() over (order by r.score desc, r.key)::int as rank,
                           max(r.score) over () as best, min(r.score) over () as least
                      from pgpipe.rank_vector($1, $3, greatest($5, $4), $6, $13) r) m
        ), fused as (
            select coalesce(w.key, m.key) as key, w.rank as text_rank, m.rank as vector_rank,
                   coalesce($7 * w.share, 0) + coalesce($8 * m.share, 0) as score, m.content_hash, m.char_start, m.char_end
              from words w full join meaning m on m.key = w.key
        ), page as materialized (select * from fused f order by f.score desc, f.key limit $4 offset $10)
        select p.key, p.score, p.text_rank, p.vector_rank, case when p.text_rank is not null then %s else %s end, %s
          from page p join %s t on %s
         order by p.score desc, p.key
        $sql$, pgpipe.headline_expression(target, 't', '$12'), pgpipe.passage_expression(e, 'p'), pgpipe.row_expression(target, 't'),
        target, pgpipe.key_match(target, e.key_columns, 't', 'p.key'))
        using target, query, query_vector, k, candidates, filter, text_weight, vector_weight, rrf_k, skip, prefix,
              pgpipe.asked_words(languages, query, prefix), e.name;
end
$_$;


--
-- Name: FUNCTION hybrid_search(target regclass, query text, query_vector public.vector, k integer, filter jsonb, text_weight double precision, vector_weight double precision, rrf_k integer, candidates integer, skip integer, prefix boolean, embedding text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.hybrid_search(target regclass, query text, query_vector public.vector, k integer, filter jsonb, text_weight double precision, vector_weight double precision, rrf_k integer, candidates integer, skip integer, prefix boolean, embedding text) IS 'The k best rows by words and by meaning together, after the first `skip`, the filter applied inside both. Scores of the `candidates` best of each are brought to a scale from 0 to 1, weighted and added; with `rrf_k` (60, say) 1 / (rrf_k + rank) is in place of them: reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009). Both ranks are returned; null where a row is not in that list. Pages are of one list as long as k and candidates stay the same, and end with the candidates.';


--
-- Name: index_aside(name, name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.index_aside(name name, key name[]) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET maintenance_work_mem TO '256MB'
    AS $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
begin
    begin
        execute format('alter table %s add primary key (%s)', made,
                       case key when '{}' then 'pgpipe_row' else pgpipe.column_list(key) end);
    exception when unique_violation or not_null_violation then
        perform pgpipe.check_key(made, key);  -- only a key that failed is counted
        raise;
    end;
    perform pgpipe.index_search(made);
    execute format('analyze %s', made);
end
$$;


--
-- Name: FUNCTION index_aside(name name, key name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.index_aside(name name, key name[]) IS 'Builds the primary key and the search index of a filled table. Raises PP010 for a key that is NULL or occurs twice.';


--
-- Name: index_search(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.index_search(target regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    missing record;
begin
    for missing in select * from pgpipe.missing_search_indexes(target) loop
        execute format('create index on %s using %s (%I)', target, missing.method, missing.column_name);
    end loop;
end
$$;


--
-- Name: FUNCTION index_search(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.index_search(target regclass) IS 'Builds the indexes that the declared search lacks: GIN on the search column, and one on the language column. Twice is a no-op.';


--
-- Name: input_expression(name[], text, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.input_expression(columns name[], template text, condition text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
    all_used name[] := array(select p.field from pgpipe.template_pieces(columns, template) p where p.field is not null);
    lines text;
begin
    if all_used = '{}' then
        raise exception 'the template names no column' using errcode = 'PP003', hint = 'Write {column} where its text belongs.';
    end if;
    with piece as (
        select p.line, p.field, row_number() over () as n, coalesce('t.' || quote_ident(p.field), quote_literal(p.literal)) as sql
          from pgpipe.template_pieces(columns, template) p
    ), written as (
        select l.line, string_agg(p.sql, ', ' order by p.n) as sql,
               array_agg(p.field order by p.n) filter (where p.field is not null) as used
          from generate_series(1, (select max(line) from piece)) l (line) left join piece p using (line) group by l.line
    )
    select string_agg(case when w.sql is null then quote_literal('') when w.used is null then format('concat(%s)', w.sql)
                           else format('case when concat(%s) <> '''' then concat(%s) end', pgpipe.column_list(w.used, 't'), w.sql) end,
                      ', ' order by w.line) into lines
      from written w;
    return format('case when %s and btrim(concat(%s), E'' \t\n\r'') <> '''' then btrim(concat_ws(E''\n'', %s), E'' \t\n\r'') end',
                  pgpipe.condition_on(condition, 't'), pgpipe.column_list(all_used, 't'), lines);
end
$$;


--
-- Name: FUNCTION input_expression(columns name[], template text, condition text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.input_expression(columns name[], template text, condition text) IS 'SQL text: what the model reads of row `t`. A template line whose columns are all empty is left out; null where every column is empty, or where the condition does not hold. Raises PP003 for a template that names another column, or none.';


--
-- Name: input_texts(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.input_texts(columns name[], alias text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    -- As the model reads them: 1.0 is not 1.00, a collation that ignores case does not count, and json needs no equality.
    select string_agg(format('%s.%I::text collate "C"', alias, c), ', ' order by n) from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION input_texts(columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.input_texts(columns name[], alias text) IS 'SQL text: the input columns of the row `alias` in a form that tells every change.';


--
-- Name: inverted_lists(double precision); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.inverted_lists(rows double precision) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    -- pgvector's README: rows / 1000 lists up to a million rows, their square root beyond; a search reads the square root of the lists.
    select greatest(case when rows <= 1000000 then floor(rows / 1000) else round(sqrt(rows)) end, 1)::int
$$;


--
-- Name: FUNCTION inverted_lists(rows double precision); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.inverted_lists(rows double precision) IS 'Into how many lists an IVFFlat index parts so many vectors; a search reads the nearest of them, their square root, at least ten.';


--
-- Name: is_indexed(regclass, name, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.is_indexed(target regclass, column_name name, method name) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    select exists (
        select from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
          join pg_catalog.pg_am m on m.oid = c.relam
          join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = is_indexed.target and m.amname = is_indexed.method and a.attname = is_indexed.column_name
           and i.indisvalid and i.indpred is null)
$$;


--
-- Name: FUNCTION is_indexed(target regclass, column_name name, method name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.is_indexed(target regclass, column_name name, method name) IS 'Whether a valid index of this method begins with the column and has all rows.';


--
-- Name: is_unique(regclass, name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.is_unique(target regclass, key name[]) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    select (c.relkind = 'p' or not c.relhassubclass) and exists (
               select from pg_catalog.pg_index i
                where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
                  and not exists (select from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k (n)
                                    left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.n and k.n <> 0
                                   where a.attname is null or a.attname <> all (key)))
      from pg_catalog.pg_class c where c.oid = target
$$;


--
-- Name: FUNCTION is_unique(target regclass, key name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.is_unique(target regclass, key name[]) IS 'Whether an index sees to it that no two rows of the target have the same key.';


--
-- Name: keep_ledger(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.keep_ledger(target regclass, entity text) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    of_schema name := (select n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                        where c.oid = target);
begin
    -- The trigger goes with the table and comes back with a restore: where it is missing, this is not the table that was loaded.
    if not exists (select from pg_catalog.pg_trigger g where g.tgrelid = target and g.tgname = 'pgpipe_ledger') then
        delete from pgpipe.load_file f where f.entity = keep_ledger.entity and f.schema = of_schema;
        execute format('create trigger pgpipe_ledger after truncate on %s for each statement execute function pgpipe.forget_files(%L, %L)',
                       target, entity, of_schema);
        perform pgpipe.share(target);
    end if;
end
$$;


--
-- Name: FUNCTION keep_ledger(target regclass, entity text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.keep_ledger(target regclass, entity text) IS 'Ties the ledger of an entity to this table: entries of another table of that name, dropped since, are forgotten.';


--
-- Name: keep_search_column(pgpipe.search_fill, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.keep_search_column(f pgpipe.search_fill, formerly name DEFAULT NULL::name) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    inputs name[] := array(select jsonb_object_keys(f.weights) union select f.language_column where f.language_column is not null);
    name name;
    function text;
begin
    select k.trigger, k.function into name, function from pgpipe.search_keeper(f.target, formerly) k;
    if name is null then
        name := 'zzz_pgpipe_search_' || to_hex((extract(epoch from clock_timestamp()) * 1000000)::bigint);
        select format('%I.%I', n.nspname, pgpipe.derived_name(c.relname, substr(name, 11))) into function
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = f.target;
    else
        execute format('drop trigger %I on %s', name, f.target);
    end if;
    execute format($sql$
        create or replace function %1$s() returns trigger  set search_path = ''  language plpgsql
        as $f$
        begin
            if tg_op = 'INSERT' or new.%2$I is null or new.%2$I is distinct from old.%2$I or (%3$s) is distinct from (%4$s) then
                new.%2$I := %5$s;
            end if;
            return new;
        end
        $f$ $sql$, function, f.column_name, (select string_agg(format('new.%I::text collate "C"', c), ', ') from unnest(inputs) c),
        (select string_agg(format('old.%I::text collate "C"', c), ', ') from unnest(inputs) c),
        pgpipe.search_expression(f.target, f.weights, f.language, f.language_column, 'new'));
    execute format('comment on function %s() is %L', function, format('Keeps %s.%I; made by pgpipe.', f.target, f.column_name));
    -- The last of the table's triggers by name, so the last to run: it sees what the others made of the row.
    execute format('create trigger %I before insert or update on %s for each row execute function %s(%L)',
                   name, f.target, function, f.column_name);
end
$_$;


--
-- Name: FUNCTION keep_search_column(f pgpipe.search_fill, formerly name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.keep_search_column(f pgpipe.search_fill, formerly name) IS 'Puts the trigger on a target that computes a search column, or makes the one that kept the column under its former name keep it.';


--
-- Name: kept_filter(pgpipe.embedding, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.kept_filter(e pgpipe.embedding, filter jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    -- Where the caller does not see all rows, or not the columns, the target itself must say so.
    select jsonb_object_agg(f.key, f.value)
      from jsonb_each(case when jsonb_typeof(filter) = 'object' and e.filters <> '{}' and e.filter_error is null then filter end) f
     where f.key = any (e.filters) and not row_security_active(e.target) and has_table_privilege(e.filter_table, 'select')
       and has_column_privilege(e.target, f.key, 'select')
$$;


--
-- Name: FUNCTION kept_filter(e pgpipe.embedding, filter jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.kept_filter(e pgpipe.embedding, filter jsonb) IS 'The part of a filter that the filter table of an embedding can answer for the caller; null for none.';


--
-- Name: key_columns(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.key_columns(target regclass) RETURNS name[]
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    select array_agg(a.attname order by k.ordinality)
      from pg_catalog.pg_index i
      cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, ordinality)
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
     where i.indrelid = key_columns.target and i.indisprimary and k.ordinality <= i.indnkeyatts  -- not the INCLUDE columns
$$;


--
-- Name: FUNCTION key_columns(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.key_columns(target regclass) IS 'The columns of the primary key, in its order; null where there is none.';


--
-- Name: key_json(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.key_json(columns name[], alias text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select 'pg_catalog.jsonb_build_object(' || string_agg(format('%L, %s.%I', c, alias, c), ', ' order by n) || ')'
      from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION key_json(columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.key_json(columns name[], alias text) IS 'SQL text: the key of the row `alias` as jsonb.';


--
-- Name: key_match(regclass, name[], text, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.key_match(target regclass, columns name[], alias text, key text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    select string_agg(format('%s.%I = %s', alias, c, pgpipe.key_value(target, c, key)), ' and ' order by n)
      from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION key_match(target regclass, columns name[], alias text, key text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.key_match(target regclass, columns name[], alias text, key text) IS 'SQL text: the row `alias` has the key held by the jsonb expression `key`.';


--
-- Name: key_value(regclass, name, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.key_value(target regclass, column_name name, key text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    select format(case when y.typelem <> 0 and y.typlen = -1 then 'pgpipe.array_literal(%s -> %L)::%s' else '(%s ->> %L)::%s' end,
                  key, column_name, pg_catalog.format_type(a.atttypid, a.atttypmod))
      from pg_catalog.pg_attribute a join pg_catalog.pg_type y on y.oid = a.atttypid
     where a.attrelid = key_value.target and a.attname = key_value.column_name
$$;


--
-- Name: FUNCTION key_value(target regclass, column_name name, key text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.key_value(target regclass, column_name name, key text) IS 'SQL text: the value of one key column, of its type, out of the jsonb expression `key`.';


--
-- Name: known_rows(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.known_rows(target regclass) RETURNS double precision
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    -- Partitions and child tables, and theirs. A partitioned table is analyzed by hand only, so its own figure says nothing.
    with recursive tree as (
        select known_rows.target::oid as oid
        union
        select h.inhrelid from tree t join pg_catalog.pg_inherits h on h.inhparent = t.oid
    )
    select coalesce(sum(greatest(c.reltuples, 0)), 0) from tree t join pg_catalog.pg_class c on c.oid = t.oid where c.relkind <> 'p'
$$;


--
-- Name: FUNCTION known_rows(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.known_rows(target regclass) IS 'How many rows the last VACUUM or ANALYZE counted, partitions and child tables included; 0 before the first.';


--
-- Name: language_expression(regclass, regconfig, name, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.language_expression(target regclass, language regconfig, language_column name, value text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    type oid := (select pgpipe.base_type(a.atttypid) from pg_catalog.pg_attribute a
                  where a.attrelid = target and a.attname = language_column);
begin
    if language_column is null then
        return format('%L::pg_catalog.regconfig', language);
    elsif type = 'regconfig'::regtype then
        return format('coalesce(%s, %L::pg_catalog.regconfig)', value, language);
    elsif type not in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) then
        raise exception '% names no language: it is a column of %', quote_ident(language_column), pg_catalog.format_type(type, -1)
            using errcode = 'PP003', hint = 'It holds a regconfig, or as text a language such as german, de or de-AT.';
    end if;
    -- A text column: PostgreSQL would not call the lookup of a name immutable, constants it does.
    return (
        select format('case lower(split_part(translate(%s::text, ''_'', ''-''), ''-'', 1)) %s else %L::pg_catalog.regconfig end', value,
                      string_agg(format('when %L then %L::pg_catalog.regconfig', known.name, known.config), ' ' order by known.name),
                      language)
          from (
            select c.cfgname::text as name, c.oid::regconfig as config from pg_catalog.pg_ts_config c
             where c.cfgnamespace = 'pg_catalog'::regnamespace
            union all
            select i.code, c.oid::regconfig from pg_catalog.pg_ts_config c
              join (values ('ar', 'arabic'), ('hy', 'armenian'), ('eu', 'basque'), ('ca', 'catalan'), ('da', 'danish'), ('nl', 'dutch'),
                           ('en', 'english'), ('et', 'estonian'), ('fi', 'finnish'), ('fr', 'french'), ('de', 'german'), ('el', 'greek'),
                           ('hi', 'hindi'), ('hu', 'hungarian'), ('id', 'indonesian'), ('ga', 'irish'), ('it', 'italian'),
                           ('lt', 'lithuanian'), ('ne', 'nepali'), ('no', 'norwegian'), ('nb', 'norwegian'), ('nn', 'norwegian'),
                           ('pt', 'portuguese'), ('ro', 'romanian'), ('ru', 'russian'), ('sr', 'serbian'), ('es', 'spanish'),
                           ('sv', 'swedish'), ('ta', 'tamil'), ('tr', 'turkish'), ('yi', 'yiddish')) i (code, config)
                on c.cfgname = i.config and c.cfgnamespace = 'pg_catalog'::regnamespace
          ) known);
end
$$;


--
-- Name: FUNCTION language_expression(target regclass, language regconfig, language_column name, value text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.language_expression(target regclass, language regconfig, language_column name, value text) IS 'SQL text: the configuration of the language column''s `value`, an SQL expression; the default where it is NULL or names none. Raises PP003 for a column that cannot name one.';


--
-- Name: make_filter_table(pgpipe.embedding, name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.make_filter_table(e pgpipe.embedding, columns name[]) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path TO ''
    SET work_mem TO '128MB'
    AS $$
declare
    widest constant int := 1200;  -- dimensions whose half vector fits into the row of an index, 2,704 bytes, with a key and a value
    made text := (select format('%I.%I', n.nspname, pgpipe.derived_name(c.relname, '_filter'))
                    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = e.store);
    key text := pgpipe.column_list(e.key_columns);
    copied text := pgpipe.column_list(array(select c from unnest(columns) c where c <> all (e.key_columns)), 't');
    indexed name;
begin
    execute format('create table %s as select %s, s.chunk, s.vector::%I.halfvec(%s) as vector%s from %s s join %s t on (%s) = (%s)', made,
                   pgpipe.column_list(e.key_columns, 's'), pgpipe.vector_schema(), e.dims, coalesce(', ' || copied, ''), e.store, e.target,
                   pgpipe.column_list(e.key_columns, 's'), pgpipe.column_list(e.key_columns, 't'));
    execute format('alter table %s add primary key (%s, chunk), alter column vector set storage main, alter column vector set not null, '
                   'add foreign key (%s, chunk) references %s on update cascade on delete cascade', made, key, key, e.store);
    foreach indexed in array columns loop
        execute format('create index on %s (%I) include (%s)', made, indexed, pgpipe.column_list(
            array(select c from unnest(e.key_columns) c where c <> indexed) || '{chunk}'::name[]
            || case when e.dims <= widest then '{vector}'::name[] end));
    end loop;
    execute format('alter table %s owner to %s', made,
                   (select c.relowner::regrole from pg_catalog.pg_class c where c.oid = e.store));
    execute format('analyze %s', made);
    return made::regclass;
end
$$;


--
-- Name: FUNCTION make_filter_table(e pgpipe.embedding, columns name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.make_filter_table(e pgpipe.embedding, columns name[]) IS 'Creates the filter table of an embedding with these columns, filled and indexed; it belongs to whom the store belongs to.';


--
-- Name: merge(regclass, regclass, name[], name[], text, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.merge(target regclass, stage regclass, columns name[], key name[], mode text, rejected jsonb, OUT inserted bigint, OUT updated bigint, OUT deleted bigint, OUT unchanged bigint) RETURNS record
    LANGUAGE plpgsql
    SET work_mem TO '128MB'
    SET default_statistics_target TO '10'
    SET parallel_tuple_cost TO '0'
    AS $_$
-- The caller's search_path, as in add_columns.
declare
    others name[] := array(select c from unnest(columns) with ordinality k (c, n) where c <> all (key) order by n);
    difference text := format('pgpipe_staging.%I', 'pgpipe_difference_' || stage::oid);
    keys text := pgpipe.column_list(key);
    missing text := format('s.%I is null', key[1]);  -- no part of a key is null
    staged bigint;
    nulls bigint;
    left_over bigint;
    held bigint;
    -- Where each row of the target has at most one match, a key that is staged twice shows in how many rows a full join has: to count
    -- them costs a tenth of looking for the key.
    by_counting boolean := mode = 'snapshot' and rejected = '[]' and pgpipe.is_unique(target, key);
begin
    execute format('analyze %s (%s)', stage, keys);
    execute format('select count(*), count(*) filter (where num_nulls(%s) > 0) from %s s', pgpipe.column_list(key, 's'), stage)
       into staged, nulls;
    if nulls > 0 or not by_counting then
        perform pgpipe.check_key(stage, key);
    end if;
    if rejected <> '[]' then  -- a row that was set aside is in the snapshot all the same: its earlier version stays
        missing := format('%s and not exists (select from jsonb_array_elements(%L) r (key) where %s)', missing, rejected,
                          pgpipe.key_match(target, key, 't', 'r.key'));
    end if;
    -- One join finds the keys that differ, on several cores where it is large: most of what it costs to load rows that are there is
    -- reading a wide target. A row that did not change is never written: INSERT … ON CONFLICT would compute the search column of
    -- every staged row before it finds the conflict.
    execute format('create unlogged table %s as select %s, null::bigint as pgpipe_held from %s t %s join %s s using (%s) where %s %s',
        difference, format('%s, case when s.%2$I is null then %3$L when t.%2$I is null then %4$L else %5$L end as pgpipe_change',
               keys, key[1], 'delete', 'insert', 'update'),
        target, case mode when 'snapshot' then 'full' else 'right' end, stage, keys,
        concat_ws(' or ', missing, format('t.%I is null', key[1]),
                  case when others <> '{}' then format('s.%I is not null and (%s) is distinct from (%s)', key[1],
                      pgpipe.comparable(target, others, 't'), pgpipe.comparable(target, others, 's')) end),
        case when by_counting then  -- of the same moment as the join
            format('union all select %s null, count(*) from %s', repeat('null, ', cardinality(key)), target) end);
    execute 'analyze ' || difference;
    if by_counting then
        execute format('select count(*) filter (where pgpipe_change = %L) - count(*) filter (where pgpipe_change = %L), max(pgpipe_held)'
                       ' from %s', 'delete', 'insert', difference) into left_over, held;
        if staged + left_over <> held then
            perform pgpipe.check_key(stage, key);
        end if;
    end if;
    execute format('delete from %s t using %s d where d.pgpipe_change = %L and (%s) = (%s)', target, difference, 'delete',
        pgpipe.column_list(key, 't'), pgpipe.column_list(key, 'd'));
    get diagnostics deleted = row_count;
    updated := 0;
    if others <> '{}' then
        execute format('update %s t set (%s) = row (%s) from %s s join %s d using (%s) where d.pgpipe_change = %L and (%s) = (%s)',
            target, pgpipe.column_list(others), pgpipe.column_list(others, 's'), stage, difference, keys, 'update',
            pgpipe.column_list(key, 't'), pgpipe.column_list(key, 'd'));
        get diagnostics updated = row_count;
    end if;
    begin
        execute format('insert into %s as x (%s) select %s from %s s join %s d using (%s) where d.pgpipe_change = %L',
            target, pgpipe.column_list(columns), pgpipe.column_list(columns, 's'), stage, difference, keys, 'insert');
        get diagnostics inserted = row_count;
    exception when unique_violation then
        perform pgpipe.check_key(stage, key);  -- new rows of one key
        raise;
    end;
    execute 'drop table ' || difference;
    unchanged := staged - inserted - updated;
end
$_$;


--
-- Name: FUNCTION merge(target regclass, stage regclass, columns name[], key name[], mode text, rejected jsonb, OUT inserted bigint, OUT updated bigint, OUT deleted bigint, OUT unchanged bigint); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.merge(target regclass, stage regclass, columns name[], key name[], mode text, rejected jsonb, OUT inserted bigint, OUT updated bigint, OUT deleted bigint, OUT unchanged bigint) IS 'Brings the staged rows into the target by key, writing only rows that differ; mode `snapshot` also deletes rows that are neither staged nor have one of the keys in `rejected`, an array of objects. Raises PP010 for a key that is NULL or staged twice.';


--
-- Name: missing_search_indexes(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.missing_search_indexes(target regclass) RETURNS TABLE(column_name name, method name)
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    with declared as (  -- what is being filled goes first: it is what will be searched
        select f.column_name, f.language_column from pgpipe.search_fill f where f.target = missing_search_indexes.target
        union all
        select s.column_name, s.language_column from pgpipe.search s where s.target = missing_search_indexes.target
           and not exists (select from pgpipe.search_fill f where f.target = s.target)
    ), wanted as (
        select d.column_name, 'gin'::name as method from declared d
        union all
        select d.language_column, 'btree' from declared d where d.language_column is not null  -- its values are read with each question
    )
    select w.column_name, w.method from wanted w where not pgpipe.is_indexed(target, w.column_name, w.method)
$$;


--
-- Name: FUNCTION missing_search_indexes(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.missing_search_indexes(target regclass) IS 'Columns, and methods, of the indexes that a declared search lacks.';


--
-- Name: nearest_statement(pgpipe.embedding, jsonb, boolean, boolean, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.nearest_statement(e pgpipe.embedding, filter jsonb, filtered boolean, exact boolean, kept jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
    schema constant name := pgpipe.vector_schema();
    store_key constant text := pgpipe.column_list(e.key_columns, 's');
    target_key constant text := pgpipe.column_list(e.key_columns, 't');
    -- Any index on the vectors is passed over by a sum, in whose order none is.
    distance constant text := format('(s.vector operator(%1$I.<=>) $1::%1$I.%2$s)%3$s', schema,
                                     case when e.dims > 2000 then 'halfvec' else 'vector' end, case when exact then ' + 0' else '' end);
    rest constant jsonb := filter - array(select jsonb_object_keys(kept));  -- what the target must say
    chosen constant text := format('select %s, s.char_start, s.char_end, s.content_hash, %s as distance from',
                                   pgpipe.numbered_list(e.key_columns, 's'), distance);
begin
    if exact and kept is not null then
        -- Half the precision may swap neighbours: some more than are wanted are compared in full.
        return format($sql$
            %1$s (select %2$s, f.chunk from %3$s f %4$s where %5$s
                   order by (f.vector operator(%6$I.<=>) $1::%6$I.halfvec) + 0 limit $2 + 20) n
              join %7$s s on (%8$s, s.chunk) = (%9$s, n.chunk)
             order by distance, %8$s limit $2
            $sql$, chosen, pgpipe.column_list(e.key_columns, 'f'), e.filter_table,
            case when rest <> '{}' then format('join %s t on (%s) = (%s) and %s', e.target, target_key,
                pgpipe.column_list(e.key_columns, 'f'), pgpipe.filter_condition(e.target, 't', rest)) else '' end,
            pgpipe.filter_condition(e.target, 'f', kept), schema, e.store, store_key, pgpipe.column_list(e.key_columns, 'n'));
    end if;
    return format('%s %s s %s order by distance%s limit $2', chosen, e.store,
                  case when filtered then format('join %s t on (%s) = (%s) where %s', e.target, target_key, store_key,
                                                 pgpipe.filter_condition(e.target, 't', filter)) else '' end,
                  case when exact then ', ' || store_key else '' end);  -- equal vectors: the same ones every time
end
$_$;


--
-- Name: FUNCTION nearest_statement(e pgpipe.embedding, filter jsonb, filtered boolean, exact boolean, kept jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.nearest_statement(e pgpipe.embedding, filter jsonb, filtered boolean, exact boolean, kept jsonb) IS 'SQL text: the $2 chunks nearest to the vector $1 of the rows that pass. By the index of the store; `exact`: all that pass are compared, in the filter table where that answers a part of the filter (`kept`).';


--
-- Name: note_fingerprint(integer, bytea); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.note_fingerprint(embedding_id integer, fingerprint bytea) RETURNS bytea
    LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    known bytea := (select e.fingerprint from pgpipe.embedding e where e.embedding_id = note_fingerprint.embedding_id);
begin
    if known is null then  -- whoever comes second waits here, and finds it set
        update pgpipe.embedding e set fingerprint = note_fingerprint.fingerprint
         where e.embedding_id = note_fingerprint.embedding_id and e.fingerprint is null;
        select e.fingerprint into known from pgpipe.embedding e where e.embedding_id = note_fingerprint.embedding_id;
    end if;
    return known;
end
$$;


--
-- Name: FUNCTION note_fingerprint(embedding_id integer, fingerprint bytea); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.note_fingerprint(embedding_id integer, fingerprint bytea) IS 'Keeps what the first model that serves an embedding makes of fixed texts, and returns what is kept: a model that makes something else of them has other weights, whatever its name. Null where there is no such embedding.';


--
-- Name: number_list(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.number_list(columns name[], alias text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select string_agg(format('%s.key_%s', alias, n), ', ' order by n) from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION number_list(columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.number_list(columns name[], alias text) IS 'SQL text: the columns that numbered_list named.';


--
-- Name: numbered_json(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.numbered_json(columns name[], alias text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select 'pg_catalog.jsonb_build_object(' || string_agg(format('%L, %s.key_%s', c, alias, n), ', ' order by n) || ')'
      from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION numbered_json(columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.numbered_json(columns name[], alias text) IS 'SQL text: the key as jsonb, of columns that numbered_list named.';


--
-- Name: numbered_list(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.numbered_list(columns name[], alias text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select string_agg(format('%s.%I as key_%s', alias, c, n), ', ' order by n) from unnest(columns) with ordinality k (c, n)
$$;


--
-- Name: FUNCTION numbered_list(columns name[], alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.numbered_list(columns name[], alias text) IS 'SQL text: the columns of a key under the names key_1, key_2, …, which meet no other name of a query, whatever the columns are called.';


--
-- Name: own_parts(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.own_parts() RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    part record;
begin
    for part in
        select case when c.relkind = 'v' then 'view' else 'table' end as kind, c.oid::regclass::text as name
          from pg_catalog.pg_class c
         where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relowner <> 'pgpipe_owner'::regrole
        union all
        select 'routine', p.oid::regprocedure::text from pg_catalog.pg_proc p
         where p.pronamespace = 'pgpipe'::regnamespace and not p.prosecdef and p.proowner <> 'pgpipe_owner'::regrole
    loop
        execute format('alter %s %s owner to pgpipe_owner', part.kind, part.name);
    end loop;
    -- Functions with their owner's rights meet the types of targets, whose code is the loader's: so they run as the loader, never as
    -- the owner of the schema. To take them over it needs CREATE there for a moment.
    grant create on schema pgpipe to pgpipe_loader;
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe'::regnamespace and p.prosecdef and p.proowner <> 'pgpipe_loader'::regrole loop
        execute format('alter function %s owner to pgpipe_loader', part.routine);
    end loop;
    revoke create on schema pgpipe from pgpipe_loader;
    return query select pgpipe.own_targets();
end
$$;


--
-- Name: FUNCTION own_parts(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.own_parts() IS 'Hands what lies in the schema pgpipe to pgpipe_owner, functions with their owner''s rights and the targets to pgpipe_loader.';


--
-- Name: own_targets(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.own_targets() RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    part record;
begin
    for part in
        with loaded as (
            select g.tgrelid as target from pg_catalog.pg_trigger g where g.tgfoid = 'pgpipe.forget_files'::regproc
        )
        select c.oid::regclass as relation, n.nspname as schema
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where (c.oid in (select l.target from loaded l)
                or c.oid in (select unnest(array[e.store, e.filter_table])
                               from pgpipe.embedding e join loaded l on l.target = e.target))
           and c.relowner <> 'pgpipe_loader'::regrole and pg_has_role(c.relowner, 'usage')
    loop
        execute format('grant usage, create on schema %I to pgpipe_loader', part.schema);
        execute format('alter table %s owner to pgpipe_loader', part.relation);
        return next format('pgpipe_loader owns %s', part.relation);
    end loop;
    for part in select c.oid::regclass as target from pg_catalog.pg_class c
                 where c.oid in (select s.target from pgpipe.search s union all select e.target from pgpipe.embedding e union all
                                 select g.tgrelid from pg_catalog.pg_trigger g where g.tgfoid = 'pgpipe.forget_files'::regproc)
    loop
        perform pgpipe.share(part.target);
    end loop;
end
$$;


--
-- Name: FUNCTION own_targets(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.own_targets() IS 'Hands the tables that pgpipe loads, with their stores and filter tables, to pgpipe_loader, as far as the caller owns them, and shares all targets.';


--
-- Name: paired(regconfig, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.paired(language regconfig, value text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
    result text;
begin
    if octet_length(value) = char_length(value) then
        return left(value, 600000);  -- as much as is searched of it; see paired_expression
    end if;
    execute 'select ' || pgpipe.paired_expression(language, '$1') into result using value;
    return result;
end
$_$;


--
-- Name: FUNCTION paired(language regconfig, value text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.paired(language regconfig, value text) IS 'A text as it is given to the parser of a language; see paired_expression.';


--
-- Name: paired_expression(regconfig, text, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.paired_expression(language regconfig, value text, among integer DEFAULT 1) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $_$
    -- Functions of PostgreSQL only: this stands in the target's own definition, and runs as whoever writes a row. To tell
    -- that a text is ASCII costs a hundredth of parsing it.
    -- A tsvector holds 1 MB, and a row that would need more could not be written: what is too long for it is cut. A character
    -- takes 3.5 bytes of it at most in texts with blanks, 12 in others; in a book, whose words come again, less than one and 5.
    select case when c.cfgparser = (select p.oid from pg_catalog.pg_ts_parser p
                                     where p.prsname = 'default' and p.prsnamespace = 'pg_catalog'::regnamespace)
           then format('case when octet_length(%1$s) > char_length(%1$s) and %1$s collate "C" ~ %2$L then '
                       'regexp_replace(regexp_replace(regexp_replace(left(%1$s, %7$s) collate "C", '
                       '%3$L, chr(31) || ''\1'' || chr(31), ''g''), %4$L, ''\1'' || chr(31) || ''\1'', ''g''), '
                       'chr(31) || %4$L || chr(31) || %5$L, chr(31), ''g'') '
                       'when octet_length(%1$s) > %6$s then left(%1$s, %6$s) else coalesce(%1$s, '''') end',
                       value, u.one, '(' || u.one || '+)', '(' || u.one || ')', '(?=' || u.one || ')',
                       least(300000, 600000 / among), least(80000, 160000 / among))
           else format('coalesce(left(%s, %s), '''')', value, least(80000, 160000 / among)) end  -- it knows such scripts itself
      from pg_catalog.pg_ts_config c cross join pgpipe.unspaced() u (one) where c.oid = language
$_$;


--
-- Name: FUNCTION paired_expression(language regconfig, value text, among integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.paired_expression(language regconfig, value text, among integer) IS 'SQL text: the SQL expression `value` as it is given to the parser of a language: with PostgreSQL''s own, runs of characters without blanks as overlapping pairs. Of a long text its first 300,000 characters (80,000 in such a script), less where a search is `among` more than two columns.';


--
-- Name: parse_query(regconfig[], text, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.parse_query(languages regconfig[], query text, prefix boolean DEFAULT false, OUT words text[], OUT counts integer[], OUT prefixes boolean[], OUT required tsquery) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
    strict_part constant text := '(^|\s)-("[^"]*"|\S+)';
    open_part constant text := '(?<!\S)([^\s"]*\w)\*(?!\S)';
    minus text[] := array(select m[2] from regexp_matches(query, strict_part, 'g') m);
    positive text := regexp_replace(query, strict_part, ' ', 'g');
    phrases text[] := array(select m[1] from regexp_matches(positive, '"([^"]*)"', 'g') m);
    beginnings text[];
    part text;
    parsed tsquery;
begin
    if prefix then  -- the word that is being typed: nothing behind it, and no quote around it
        positive := regexp_replace(positive, '(?<!\S)([^\s"]*\w)$', '\1*');
    end if;
    beginnings := array(select m[1] from regexp_matches(regexp_replace(positive, '"[^"]*"', ' ', 'g'), open_part, 'g') m);
    -- Rows of several languages: a word is asked for as each of them stores it.
    select array_agg(w.lexeme order by w.lexeme), array_agg(w.times order by w.lexeme), array_agg(w.open order by w.lexeme)
      into words, counts, prefixes
      from (
        select v.lexeme, max(cardinality(v.positions)) as times,
               bool_or(asked.open or v.lexeme collate "C" ~ ('^' || pgpipe.unspaced() || '$')) as open
          from (select regexp_replace(positive, open_part, ' ', 'g') as part, false as open
                union all select b, true from unnest(beginnings) b) asked
          cross join unnest(languages) l (language)
          cross join lateral unnest(coalesce(
              nullif(pgpipe.question_words(l.language, asked.part), ''),
              case when asked.open then to_tsvector('pg_catalog.simple', asked.part) else '' end)) v  -- "th" goes on, stop word or not
         group by v.lexeme
      ) w;
    foreach part in array phrases loop
        select string_agg('(' || p.query::text || ')', ' | ')::tsquery into parsed
          from unnest(languages) l (language) cross join lateral pgpipe.phrase_query(l.language, part) p (query)
         where numnode(p.query) > 0;
        required := coalesce(required && parsed, required, parsed);
    end loop;
    foreach part in array minus loop
        select string_agg('(' || p.query::text || ')', ' | ')::tsquery into parsed
          from unnest(languages) l (language) cross join lateral pgpipe.phrase_query(l.language, btrim(part, '"')) p (query)
         where numnode(p.query) > 0;
        required := coalesce(required && !!parsed, required, !!parsed);
    end loop;
    words := coalesce(words, '{}');
    counts := coalesce(counts, '{}');
    prefixes := coalesce(prefixes, '{}');
end
$_$;


--
-- Name: FUNCTION parse_query(languages regconfig[], query text, prefix boolean, OUT words text[], OUT counts integer[], OUT prefixes boolean[], OUT required tsquery); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.parse_query(languages regconfig[], query text, prefix boolean, OUT words text[], OUT counts integer[], OUT prefixes boolean[], OUT required tsquery) IS 'The lexemes of a question in the given languages, how often each is asked for, and which are beginnings (`word*`, and with `prefix` the last word); `required` joins its "phrases" and -words, null where it has none.';


--
-- Name: parse_weights(text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.parse_weights(columns text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
declare
    weights jsonb;
    twice boolean := false;
begin
    begin
        weights := columns::jsonb;
    exception when invalid_text_representation then  -- {title=>A, description=>B}
        select jsonb_object_agg(p.name, p.weight), count(*) > count(distinct p.name) into weights, twice
          from (select btrim(split_part(pair, '=>', 1), E' \n\t"'), btrim(substr(pair, strpos(pair, '=>') + 2), E' \n\t"')
                  from unnest(string_to_array(btrim(columns, E'{} \n\t'), ',')) pair) p (name, weight);
    end;
    if jsonb_typeof(weights) is distinct from 'object' or weights = '{}' or twice then
        weights := '{"": ""}';  -- refused below
    end if;
    if exists (select from jsonb_each_text(weights) w where w.key = '' or coalesce(w.value, '') not in ('A', 'B', 'C', 'D')) then
        raise exception 'search columns need one weight of A, B, C or D each, not %', columns using errcode = 'PP003',
            hint = 'Write {title=>A, description=>B}, or the same as JSON.';
    end if;
    return weights;
end
$$;


--
-- Name: FUNCTION parse_weights(columns text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.parse_weights(columns text) IS 'Columns and their weights as jsonb, from {title=>A} or {"title": "A"}. Raises PP003 for anything else.';


--
-- Name: passage_expression(pgpipe.embedding, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.passage_expression(e pgpipe.embedding, chunk text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $_$
    select case when exists (select from unnest(e.columns) c where not has_column_privilege(e.target, c::text, 'select')) then 'null::text'
           -- A row that changed since it was embedded: its ranges are of the text it had, so its beginning is shown.
           else format('(select case when pgpipe.content_hash(i.input) = %1$s.content_hash '
                       'then substr(i.input, %1$s.char_start + 1, %1$s.char_end - %1$s.char_start) else left(i.input, 400) end '
                       'from (select %2$s) i (input))', chunk, pgpipe.input_expression(e.columns, e.template)) end
$_$;


--
-- Name: FUNCTION passage_expression(e pgpipe.embedding, chunk text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.passage_expression(e pgpipe.embedding, chunk text) IS 'SQL text: the part of row `t` that the vector of `chunk` stands for; null where the caller may not read all of it.';


--
-- Name: pause_embedding(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.pause_embedding(target regclass, name text DEFAULT 'default'::text) RETURNS void
    LANGUAGE sql STRICT
    SET search_path TO ''
    AS $$
    update pgpipe.embedding e set paused_at = coalesce(e.paused_at, now())
     where e.embedding_id = (pgpipe.require_embedding(pause_embedding.target, pause_embedding.name)).embedding_id
$$;


--
-- Name: FUNCTION pause_embedding(target regclass, name text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.pause_embedding(target regclass, name text) IS 'Nothing more is claimed; changes are still enqueued, and batches at work are finished. Twice is a no-op. Raises PP008.';


--
-- Name: phrase_query(regconfig, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.phrase_query(language regconfig, phrase text) RETURNS tsquery
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $_$
    -- Behind the last pair, or single character, anything may follow; what is neither such a character nor \w asks for nothing.
    select regexp_replace(
               phraseto_tsquery(language, regexp_replace(pgpipe.paired(language, phrase),
                                                         '(' || u.one || ')\x1f\1[^\w' || substr(u.one, 2) || '*$', '\1'))::text,
               '(''' || u.one || ''')$', '\1:*')::tsquery
      from pgpipe.unspaced() u (one)
$_$;


--
-- Name: FUNCTION phrase_query(language regconfig, phrase text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.phrase_query(language regconfig, phrase text) IS 'The tsquery that asks for a phrase in a language.';


--
-- Name: publish(name, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.publish(name name, schema name) RETURNS regclass
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
    part name;
begin
    -- The names of its indexes and of its sequence may be taken there: by a table that was renamed since, or by one whose long name
    -- begins alike.
    for part in
        select c.relname from pg_catalog.pg_class c join pg_catalog.pg_class there on there.relname = c.relname
         where there.relnamespace = to_regnamespace(quote_ident(schema))
           and c.oid in (select i.indexrelid from pg_catalog.pg_index i where i.indrelid = made
                         union all select d.objid from pg_catalog.pg_depend d
                                    where d.refobjid = made and d.deptype = 'i' and d.classid = 'pg_catalog.pg_class'::regclass)
    loop
        execute format('alter table pgpipe_staging.%I rename to %I', part, pgpipe.derived_name(part, '_' || made::oid));
    end loop;
    -- A rename gives its array type a free name, a move does not.
    execute format('alter table %s rename to %I', made, 'pgpipe_' || made::oid);
    execute format('alter table %s set schema %I', made, schema);
    execute format('alter table %s rename to %I', made, name);
    return made;
end
$$;


--
-- Name: FUNCTION publish(name name, schema name); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.publish(name name, schema name) IS 'Moves a table built aside to where its readers look for it. Raises 42P07 where another table came there first.';


--
-- Name: question_words(regconfig, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.question_words(language regconfig, part text) RETURNS tsvector
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    -- The last character of a run is in its last pair.
    select to_tsvector(language, regexp_replace(pgpipe.paired(language, part),
                                                '(' || u.one || ')\x1f\1(?!' || u.one || ')', '\1', 'g'))
      from pgpipe.unspaced() u (one)
$$;


--
-- Name: FUNCTION question_words(language regconfig, part text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.question_words(language regconfig, part text) IS 'The words of a question in a language. A single character of a script without blanks is the beginning of one.';


--
-- Name: search; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.search (
    target regclass NOT NULL,
    column_name name DEFAULT 'search'::name NOT NULL,
    weights jsonb NOT NULL,
    language regconfig NOT NULL,
    language_column name,
    by_trigger boolean DEFAULT false NOT NULL,
    documents bigint DEFAULT 0 NOT NULL,
    mean_length double precision DEFAULT 0 NOT NULL,
    refreshed_at timestamp with time zone,
    CONSTRAINT search_documents_check CHECK ((documents >= 0)),
    CONSTRAINT search_mean_length_check CHECK ((mean_length >= (0)::double precision)),
    CONSTRAINT search_weights_check CHECK ((jsonb_typeof(weights) = 'object'::text))
);


--
-- Name: TABLE search; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.search IS 'One row per target with a search column, and the figures that ranking needs.';


--
-- Name: rank_statement(pgpipe.search, name[], text, boolean, tsquery[], double precision[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.rank_statement(declared pgpipe.search, key_columns name[], condition text, by_filter boolean, words tsquery[], idf double precision[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $_$
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
        pgpipe.numbered_list(key_columns, 't'),
        declared.column_name, declared.target, condition, pgpipe.rough_expression(words, idf, 'm.document'),
        greatest(declared.mean_length, 1)::text,
        case when cardinality(f.weights) > 1
             then format('ts_rank(%L, n.document, %L)', case f.weights[2] when 'A' then '{0,0,0,1}' when 'B' then '{0,0,1,1}'
                                                             else '{0,1,1,1}' end, pgpipe.any_word(words))
             else '0' end,
        pgpipe.any_word(words),
        pgpipe.numbered_json(key_columns, 'c'),
        pgpipe.bm25f_expression(words, idf, f.weights),
        -- The function has no index: rows that a filter leaves are not looked for in long lists of other rows.
        format(case when by_filter then 'pg_catalog.ts_match_vq(t.%I, $1)' else 't.%I @@ $1' end, declared.column_name))
      from (select array_agg(distinct w.value order by w.value desc) as weights from jsonb_each_text(declared.weights) w) f
$_$;


--
-- Name: FUNCTION rank_statement(declared pgpipe.search, key_columns name[], condition text, by_filter boolean, words tsquery[], idf double precision[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.rank_statement(declared pgpipe.search, key_columns name[], condition text, by_filter boolean, words tsquery[], idf double precision[]) IS 'SQL text that ranks the rows which match $1, at most $2: a rough score for all, BM25F for the best $3 of them, keys and scores of the best $4. With by_filter they are found by the condition alone.';


--
-- Name: rank_text(regclass, text, integer, jsonb, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.rank_text(target regclass, query text, k integer, filter jsonb DEFAULT NULL::jsonb, prefix boolean DEFAULT false) RETURNS TABLE(key jsonb, score double precision)
    LANGUAGE plpgsql STABLE ROWS 100
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    SET jit TO 'off'
    SET work_mem TO '32MB'
    AS $$
declare
    match_limit constant int := greatest(20000, k);  -- rows that are looked at
    fill_limit constant int := greatest(5000, k);    -- rows that are looked at where too few hold more than common words
    score_limit constant int := greatest(500, k);    -- rows that get the exact score
    cost_limit constant double precision := 50000;   -- in the planner's units: a filter that costs less is followed to its end
    declared pgpipe.search := pgpipe.require_search(target);
    key_columns name[] := pgpipe.require_key(target);
    condition text := pgpipe.filter_condition(target, 't', filter);
    asked record := pgpipe.weigh_words(target, query, prefix);
    any_word tsquery := pgpipe.any_word(asked.probes);
    phrase boolean := asked.required is not null and not ''::tsvector @@ asked.required;
    probes tsquery[] := case when phrase then array[asked.required]
                             else pgpipe.candidate_queries(asked.probes, asked.documents, asked.total) end;
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
        passing := pgpipe.estimate(target, condition);
        narrowed := passing.rows > match_limit or passing.cost > cost_limit;
        by_filter := not narrowed;
    end if;
    if not narrowed and not phrase then
        probes := array[any_word];
    end if;
    -- One condition for each, not their conjunction: the index then goes through the first two, and looks up the others.
    execute pgpipe.rank_statement(declared, key_columns, (
        select coalesce(string_agg(format('t.%I @@ %L', declared.column_name, p), ' and ') || ' and ', '') || condition
          from unnest(probes[2:]) p), by_filter, asked.words, asked.idf)
       into keys, scores using coalesce(probes[1] && asked.required, probes[1]), match_limit, score_limit, k;
    if narrowed and coalesce(cardinality(keys), 0) < k then
        -- Rows that hold common words only follow, whatever they score: a longer list begins with the shorter one, as pages need.
        select string_agg(format('(%s)', p), ' & ')::tsquery into every from unnest(probes) p;
        execute pgpipe.rank_statement(declared, key_columns, condition, false, asked.words, asked.idf) into more_keys, more_scores
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


--
-- Name: FUNCTION rank_text(target regclass, query text, k integer, filter jsonb, prefix boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.rank_text(target regclass, query text, k integer, filter jsonb, prefix boolean) IS 'Keys and BM25F scores of the k best rows for a question, in their order. Raises PP005 without a search column, PP007 without a primary key, PP002 and PP003 as filter_condition.';


--
-- Name: rank_vector(regclass, public.vector, integer, jsonb, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.rank_vector(target regclass, query public.vector, k integer, filter jsonb DEFAULT NULL::jsonb, embedding text DEFAULT NULL::text) RETURNS TABLE(key jsonb, score double precision, char_start integer, char_end integer, content_hash bytea)
    LANGUAGE plpgsql STABLE ROWS 100
    SET search_path TO ''
    SET jit TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    SET "hnsw.iterative_scan" TO 'relaxed_order'
    SET "hnsw.ef_search" TO '400'
    SET random_page_cost TO '1.1'
    SET parallel_setup_cost TO '10000'
    SET "ivfflat.iterative_scan" TO 'relaxed_order'
    SET "ivfflat.probes" TO '10'
    AS $_$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, embedding);
    condition text := pgpipe.filter_condition(target, 't', filter);
    -- Rows that row level security hides are filtered like any others, before the k best are counted.
    filtered boolean := condition <> 'true' or row_security_active(target);
    -- So many to begin with: a row may have several. Behind a filter each costs the walk of all that does not pass.
    chunks int := case when filtered then ceil(1.25 * k) + 12 else 2 * k + 10 end;
    kept jsonb := pgpipe.kept_filter(e, filter);
    exact boolean := pgpipe.scan_is_exact(e, case when filtered then condition end, chunks, kept);
    seen int;
    keys jsonb[];
    distances double precision[];
    starts int[];
    ends int[];
    hashes bytea[];
begin
    if coalesce(cardinality(query::real[]), 0) <> e.dims then
        raise exception 'the question has % dimensions, the vectors of % have %', coalesce(cardinality(query::real[]), 0), target, e.dims
            using errcode = 'PP009', hint = format('They are of the model %s: compute the question''s vector with it.', e.model);
    end if;
    perform set_config('ivfflat.probes', greatest(10, ceil(sqrt(pgpipe.inverted_lists(c.reltuples))))::text, true)
       from pg_catalog.pg_class c where c.oid = e.store;
    loop  -- look further until there are k rows, or no more chunks
        perform set_config('hnsw.ef_search', least(greatest(400, chunks), 1000)::text, true);
        execute format($sql$
            with nearest as materialized (%s), best as (
                select distinct on (%s) n.* from nearest n order by %s, n.distance
            ), ordered as (
                select %s as key, b.* from best b order by b.distance, key
            )
            select (select count(*) from nearest), array_agg(o.key), array_agg(o.distance), array_agg(o.char_start),
                   array_agg(o.char_end), array_agg(o.content_hash)
              from ordered o
            $sql$, pgpipe.nearest_statement(e, filter, filtered, exact, kept), pgpipe.number_list(e.key_columns, 'n'),
            pgpipe.number_list(e.key_columns, 'n'), pgpipe.numbered_json(e.key_columns, 'b'))
            into seen, keys, distances, starts, ends, hashes using query, chunks;
        if seen < chunks and not exact then
            exact := true;  -- the walk was given up before it had enough
        elsif cardinality(keys) >= k or seen < chunks then
            exit;
        else
            chunks := chunks * 4;
        end if;
    end loop;
    return query select b.key, 1 - b.distance, b.char_start, b.char_end, b.content_hash
                   from unnest(keys, distances, starts, ends, hashes) b (key, distance, char_start, char_end, content_hash)
                  where b.distance < 'Infinity' limit k;  -- a vector of zeros has no direction: its distance is NaN
end
$_$;


--
-- Name: FUNCTION rank_vector(target regclass, query public.vector, k integer, filter jsonb, embedding text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.rank_vector(target regclass, query public.vector, k integer, filter jsonb, embedding text) IS 'Keys of the k rows nearest to a vector, with the cosine similarity and the character range of the best chunk of each. Raises PP008 without an embedding, PP009 for a vector of another model, PP002 and PP003 as filter_condition.';


--
-- Name: reconcile_rows(integer, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.reconcile_rows(embedding_id integer, max_rows integer DEFAULT 10000, OUT examined bigint, OUT enqueued bigint, OUT finished boolean) RETURNS record
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    e pgpipe.embedding;
    position jsonb;
    last jsonb;
    stale jsonb[];
    orphans jsonb[];
    after text;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = reconcile_rows.embedding_id;
    insert into pgpipe.reconciliation (embedding_id) values (e.embedding_id) on conflict do nothing;
    if found then
        perform pgpipe.repair_triggers(e.target);
        perform pgpipe.repair_filters(e.embedding_id);
    end if;
    select r.position into position from pgpipe.reconciliation r where r.embedding_id = e.embedding_id for update;
    after := (select string_agg(pgpipe.key_value(e.target, c, '$1'), ', ' order by n) from unnest(e.key_columns) with ordinality k (c, n));
    -- In the order of the primary key; what is stored is compared with what the rows hold now.
    execute format($sql$
        with part as materialized (
            select %1$s as key, pgpipe.content_hash(%2$s) as hash, row_number() over (order by %3$s) as n, %9$s
              from %4$s t where $1 is null or (%3$s) > (%5$s) order by %3$s limit $2
        )
        select count(*), (array_agg(p.key order by p.n desc))[1],
               coalesce(array_agg(p.key order by p.n) filter (where
                   case when p.hash is null then s.content_hash is not null
                        else s.content_hash is distinct from p.hash or s.model is distinct from $3 end
                   and not exists (select from pgpipe.job j where j.embedding_id = $4 and j.key = p.key)), '{}')
          from part p left join %6$s s on (%7$s) = (%8$s) and s.chunk = 0
        $sql$, pgpipe.key_json(e.key_columns, 't'), pgpipe.input_expression(e.columns, e.template, e.condition),
        pgpipe.column_list(e.key_columns, 't'), e.target, after, e.store, pgpipe.column_list(e.key_columns, 's'),
        pgpipe.number_list(e.key_columns, 'p'), pgpipe.numbered_list(e.key_columns, 't'))
        into examined, last, stale using position, max_rows, e.model, e.embedding_id;
    finished := examined < max_rows;
    -- Vectors whose row is gone, in the same range of keys.
    execute format($sql$
        select coalesce(array_agg(distinct %1$s), '{}') from %2$s s
         where ($1 is null or (%3$s) > (%4$s)) and ($2 is null or (%3$s) <= (%5$s))
           and not exists (select from %6$s t where (%7$s) = (%3$s))
        $sql$, pgpipe.key_json(e.key_columns, 's'), e.store, pgpipe.column_list(e.key_columns, 's'), after, replace(after, '$1', '$2'),
        e.target, pgpipe.column_list(e.key_columns, 't')) into orphans using position, case when not finished then last end;
    -- A row that somebody is changing is left to his trigger; the others cannot be changed until this is committed, so nobody
    -- who holds a job of one of them waits for us while we wait for him.
    execute format($sql$
        with mine as materialized (
            select w.key from unnest($1) w (key) join %s t on %s for share of t skip locked
        )
        insert into pgpipe.job (embedding_id, key) select $2, key from (table mine union all select unnest($3)) k
            on conflict (embedding_id, key) do nothing
        $sql$, e.target, pgpipe.key_match(e.target, e.key_columns, 't', 'w.key')) using stale, e.embedding_id, orphans;
    get diagnostics enqueued = row_count;
    if finished then
        delete from pgpipe.reconciliation r where r.embedding_id = e.embedding_id;
    else
        update pgpipe.reconciliation r
           set position = last, examined = r.examined + reconcile_rows.examined, enqueued = r.enqueued + reconcile_rows.enqueued,
               moved_at = clock_timestamp()
         where r.embedding_id = e.embedding_id;
    end if;
end
$_$;


--
-- Name: FUNCTION reconcile_rows(embedding_id integer, max_rows integer, OUT examined bigint, OUT enqueued bigint, OUT finished boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.reconcile_rows(embedding_id integer, max_rows integer, OUT examined bigint, OUT enqueued bigint, OUT finished boolean) IS 'Compares the next max_rows rows, in the order of their key, with their stored vectors, and enqueues those whose text or model is another, that lack vectors or should have none, and vectors whose row is gone. Commit, and call again until `finished`: the place is kept in pgpipe.reconciliation. The first call also brings back triggers that are missing or disabled, and mends the filter table.';


--
-- Name: record_files(bigint, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.record_files(load_id bigint, files jsonb) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    of_load pgpipe.load;
    held pgpipe.load_file[];
    set_aside pgpipe.rejected_row[];
begin
    select * into strict of_load from pgpipe.load l where l.load_id = record_files.load_id;
    -- Bytes that were recognised were not read: what the ledger knows of them goes over to their new name.
    held := array(select f from pgpipe.load_file f
                    join jsonb_to_recordset(files) n (etag text, recognised boolean) on n.recognised and n.etag = f.etag
                   where f.entity = of_load.entity and f.schema = of_load.schema);
    set_aside := array(select r from pgpipe.rejected_row r join unnest(held) h 
                                    on (h.schema, h.entity, h.file, h.etag) = (r.schema, r.entity, r.file, r.etag));
    -- A later version of a file took the place of its rows; were the earlier one put back, it would have to be loaded again. What was
    -- appended is there still.
    delete from pgpipe.load_file f
     where f.entity = of_load.entity and f.schema = of_load.schema and of_load.mode <> 'append'
       and (of_load.mode = 'snapshot' or f.file in (select n.file from jsonb_to_recordset(files) n (file text)));
    insert into pgpipe.load_file (schema, entity, file, etag, date, bytes, read, rejected, load_id)
    select of_load.schema, of_load.entity, f.file, f.etag, of_load.date, f.bytes, coalesce(h.read, f.read),
           coalesce(h.rejected, f.rejected), of_load.load_id
      from jsonb_to_recordset(files) f (file text, etag text, bytes bigint, read bigint, rejected bigint)
      left join (select e.etag, max(e.read) as read, max(e.rejected) as rejected from unnest(held) e group by e.etag) h on h.etag = f.etag;
    insert into pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row, load_id, rejected_at)
    select r.schema, r.entity, f.file, r.etag, r.row_group, r.row_number, r.column_name, r.reason, r.key, r.row, r.load_id, r.rejected_at
      from unnest(set_aside) r
      join jsonb_to_recordset(files) f (file text, etag text, recognised boolean) on f.recognised and f.etag = r.etag
    on conflict do nothing;
end
$$;


--
-- Name: FUNCTION record_files(load_id bigint, files jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.record_files(load_id bigint, files jsonb) IS 'Enters the files of a load, [{"file", "etag", "bytes", "read", "rejected", "recognised"}]. A snapshot replaces all earlier entries, what it holds is what there is; an upsert those of the same files. Rejected rows go with the entry of their file.';


--
-- Name: refresh_search(regclass, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.refresh_search(target regclass, at_most integer DEFAULT 30000) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    declared pgpipe.search;
    total bigint;
    read bigint;  -- of which so many are counted
    percent double precision;
    sample text := '';
begin
    select * into declared from pgpipe.search s where s.target = refresh_search.target for update;
    if not found then
        raise exception '% has no search column', target using errcode = 'PP005',
            hint = format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target);
    end if;
    total := (pgpipe.estimate(target, 'true')).rows;
    if total <= 10 * at_most then
        execute format('select count(*) from %s', target) into total;
    end if;
    read := total;
    if total > at_most then
        percent := 100.0 * at_most / total;
        sample := format('tablesample system (%s) repeatable (1)', percent);  -- the same pages again: stable figures
        execute format('select count(*) from %s %s', target, sample) into read;  -- whole pages: more or fewer than asked for
        if total > 10 * at_most and (select c.reltuples < 0 from pg_catalog.pg_class c where c.oid = target) then
            total := greatest(read, round(100 * read / percent));  -- the planner knew the size of the file only
        end if;
    end if;
    delete from pgpipe.lexeme l where l.target = refresh_search.target;
    with stat as materialized (
        select w.* from ts_stat(format('select %I from %s %s', declared.column_name, refresh_search.target, sample)) w
    ), kept as (
        insert into pgpipe.lexeme (target, lexeme, documents)
        select refresh_search.target, s.word, s.ndoc * total::double precision / greatest(read, 1) from stat s
    )
    update pgpipe.search s
       set documents = total, refreshed_at = clock_timestamp(),
           mean_length = coalesce((select sum(w.nentry) from stat w)::double precision / nullif(read, 0), 0)
     where s.target = refresh_search.target;
    return total;
end
$$;


--
-- Name: FUNCTION refresh_search(target regclass, at_most integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.refresh_search(target regclass, at_most integer) IS 'Counts anew in how many documents each lexeme occurs, from all rows or a sample of about `at_most`. Returns the rows of the target, an estimate beyond ten times `at_most`. Searches that run meanwhile see the old figures or the new ones.';


--
-- Name: refresh_stale_searches(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.refresh_stale_searches() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
    stale regclass;
    refreshed int := 0;
begin
    for stale in select s.target from pgpipe.search s join pg_catalog.pg_class c on c.oid = s.target
                  where pgpipe.search_is_stale(s.target) and coalesce(s.refreshed_at < now() - interval '10 minutes', true)
                    and has_table_privilege(s.target, 'select')
                    and not row_security_active(s.target)
                    for update of s skip locked loop  -- who holds it is refreshing it
        perform pgpipe.refresh_search(stale);
        refreshed := refreshed + 1;
    end loop;
    return refreshed;
end
$$;


--
-- Name: FUNCTION refresh_stale_searches(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.refresh_stale_searches() IS 'Counts anew the lexemes of every target that has grown or shrunk by a tenth since, every ten minutes at most; idle embedders call it, so that rows which no load brought count too. Returns how many targets; those that another session holds, or that may not be read, are left.';


--
-- Name: reject_rows(bigint, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.reject_rows(load_id bigint, rows jsonb) RETURNS void
    LANGUAGE sql STRICT
    SET search_path TO ''
    AS $$
    insert into pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row, load_id)
    select l.schema, l.entity, r.file, r.etag, r.row_group, r.row_number, r.column_name, r.reason, r.key, r.row, l.load_id
      from pgpipe.load l, jsonb_to_recordset(rows) r (file text, etag text, row_group int, row_number bigint, column_name text,
                                                      reason text, key jsonb, row jsonb)
     where l.load_id = reject_rows.load_id
$$;


--
-- Name: FUNCTION reject_rows(load_id bigint, rows jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.reject_rows(load_id bigint, rows jsonb) IS 'Keeps the rows that a load set aside, [{"file", "etag", "row_group", "row_number", "column_name", "reason", "key", "row"}]; call it in the transaction of record_files, after it.';


--
-- Name: release_jobs(integer, uuid, jsonb[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.release_jobs(embedding_id integer, token uuid, keys jsonb[], OUT released integer, OUT locked integer) RETURNS record
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
begin
    with mine as materialized (
        select j.tid from unnest(release_jobs.keys) w (key)
         cross join lateral (select j.ctid as tid from pgpipe.job j
                              where j.embedding_id = release_jobs.embedding_id and j.key = w.key and j.lease_token = release_jobs.token
                                for update skip locked) j
    )
    update pgpipe.job j set lease_token = null, leased_by = null, visible_at = now() from mine m where j.ctid = m.tid;
    get diagnostics released = row_count;
    select count(*) into locked from unnest(release_jobs.keys) w (key)
     cross join lateral (select j.lease_token from pgpipe.job j
                          where j.embedding_id = release_jobs.embedding_id and j.key = w.key offset 0) j
     where j.lease_token = release_jobs.token;
end
$$;


--
-- Name: FUNCTION release_jobs(embedding_id integer, token uuid, keys jsonb[], OUT released integer, OUT locked integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.release_jobs(embedding_id integer, token uuid, keys jsonb[], OUT released integer, OUT locked integer) IS 'Gives back, uncharged and at once, those of the keys that this token still holds. `locked` counts those that it holds but that a writer has locked: call again a little later.';


--
-- Name: repair_filters(integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.repair_filters(embedding_id integer) RETURNS boolean
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    SET work_mem TO '128MB'
    AS $_$
declare
    e pgpipe.embedding;
    differs boolean := true;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = repair_filters.embedding_id;
    if e.filters = '{}' then
        return false;
    elsif e.filter_error is null then
        execute format($sql$
            select exists (select from %1$s s join %2$s t on (%3$s) = (%4$s) left join %5$s f on (%6$s, f.chunk) = (%3$s, s.chunk)
                            where f.chunk is null or (%7$s) is distinct from (%8$s)
                               or f.vector operator(%9$I.<>) s.vector::%9$I.halfvec(%10$s))
            $sql$, e.store, e.target, pgpipe.column_list(e.key_columns, 's'), pgpipe.column_list(e.key_columns, 't'), e.filter_table,
            pgpipe.column_list(e.key_columns, 'f'), pgpipe.column_list(e.filters, 'f'), pgpipe.column_list(e.filters, 't'),
            pgpipe.vector_schema(), e.dims) into differs;
    end if;
    if differs then
        perform pgpipe.suspend_filters(e.embedding_id, coalesce(e.filter_error, 'it differs from the store or the target'));
        if (select pg_has_role(c.relowner, 'usage') from pg_catalog.pg_class c where c.oid = e.store) then
            perform pgpipe.enable_filters(e.target, e.filters, e.name);
        end if;
    end if;
    return differs;
exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded or sqlstate 'PP002' then
    perform pgpipe.suspend_filters(e.embedding_id, sqlerrm);
    return true;
end
$_$;


--
-- Name: FUNCTION repair_filters(embedding_id integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.repair_filters(embedding_id integer) IS 'Compares a filter table with the store and the target; where it differs, as after a restore without triggers, it is made anew by the owner of the store, and left alone by searches until then. Returns whether it differed.';


--
-- Name: repair_triggers(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.repair_triggers(target regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
begin
    if (select count(*) from pg_catalog.pg_trigger g where g.tgrelid = target and g.tgfoid = 'pgpipe.enqueue_changes'::regproc
           and g.tgenabled in ('O', 'A')) < 4 then
        perform pgpipe.watch(target);
        execute (select string_agg(format('alter table %s enable trigger %I', target, g.tgname), '; ') from pg_catalog.pg_trigger g
                  where g.tgrelid = target and g.tgfoid = 'pgpipe.enqueue_changes'::regproc);
    end if;
end
$$;


--
-- Name: FUNCTION repair_triggers(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.repair_triggers(target regclass) IS 'Brings back the triggers of a target where one is missing or disabled.';


--
-- Name: require_columns(regclass, name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.require_columns(target regclass, columns name[]) RETURNS void
    LANGUAGE plpgsql STABLE STRICT
    SET search_path TO ''
    AS $$
declare
    missing name;
begin
    select c into missing from unnest(columns) c where not pgpipe.has_column(target, c) limit 1;
    if found then
        raise exception '% has no column %', target, quote_ident(missing) using errcode = 'PP002',
            hint = (select 'It has ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum) || '.'
                      from pg_catalog.pg_attribute a
                     where a.attrelid = require_columns.target and a.attnum > 0 and not a.attisdropped);
    end if;
end
$$;


--
-- Name: FUNCTION require_columns(target regclass, columns name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.require_columns(target regclass, columns name[]) IS 'Raises PP002, naming the first column that the target lacks.';


--
-- Name: require_embedding(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.require_embedding(target regclass, embedding text) RETURNS pgpipe.embedding
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    e pgpipe.embedding;
begin
    select * into e from pgpipe.embedding x
     where x.target = require_embedding.target
       and case when require_embedding.embedding is null then x.active else x.name = require_embedding.embedding end;
    if not found then
        raise exception '% has no embedding%', target, coalesce(' ' || quote_ident(embedding), '') using errcode = 'PP008',
            hint = coalesce((select 'It has ' || string_agg(quote_ident(x.name), ', ' order by x.embedding_id) || '.'
                               from pgpipe.embedding x where x.target = require_embedding.target),
                            format('Declare one: select pgpipe.enable_embedding(%L, ''{column}'', model => …, dims => …)', target));
    end if;
    return e;
end
$$;


--
-- Name: FUNCTION require_embedding(target regclass, embedding text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.require_embedding(target regclass, embedding text) IS 'The embedding of that name, the active one where none is named. Raises PP008, naming those it has.';


--
-- Name: require_filters(regclass, name[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.require_filters(target regclass, columns name[]) RETURNS void
    LANGUAGE plpgsql STABLE STRICT
    SET search_path TO ''
    AS $$
declare
    wrong name;
begin
    perform pgpipe.require_columns(target, columns);
    select a.attname into wrong from pg_catalog.pg_attribute a join pg_catalog.pg_type y on y.oid = pgpipe.base_type(a.atttypid)
     where a.attrelid = target and a.attname = any (columns) and (y.typcategory = 'A' or a.attname in ('chunk', 'vector')) limit 1;
    if found then
        raise exception 'searches cannot be filtered by an index on %', quote_ident(wrong) using errcode = 'PP003',
            hint = 'A column of an array type has several values in a row, and chunk and vector are names in use. '
                   'Such a column can be in a filter without being declared.';
    end if;
end
$$;


--
-- Name: FUNCTION require_filters(target regclass, columns name[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.require_filters(target regclass, columns name[]) IS 'Raises PP002 for a column that the target lacks, PP003 for one that a filter table cannot hold.';


--
-- Name: require_key(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.require_key(target regclass) RETURNS name[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    columns name[] := pgpipe.key_columns(target);
begin
    if columns is null then
        raise exception '% has no primary key, so its rows could not be told apart', target using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    end if;
    return columns;
end
$$;


--
-- Name: FUNCTION require_key(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.require_key(target regclass) IS 'The columns of the primary key. Raises PP007 where there is none.';


--
-- Name: require_page(integer, integer); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.require_page(k integer, skip integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
    if k >= 0 and skip >= 0 then
        return;
    end if;
    raise exception 'k and skip are numbers from 0 on, not % and %', k, skip using errcode = 'PP003',
        hint = 'k is how many answers to return, skip how many to leave out before them.';
end
$$;


--
-- Name: FUNCTION require_page(k integer, skip integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.require_page(k integer, skip integer) IS 'Raises PP003 where k or skip is negative or NULL.';


--
-- Name: require_search(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.require_search(target regclass) RETURNS pgpipe.search
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
    declared pgpipe.search;
begin
    select * into declared from pgpipe.search s where s.target = require_search.target;
    if not found then
        raise exception '% has no search column%', target,
            case when exists (select from pgpipe.search_fill f where f.target = require_search.target) then ' yet: it is being filled'
                 else '' end
            using errcode = 'PP005',
                hint = case when exists (select from pgpipe.search_fill f where f.target = require_search.target)
                            then format('Run `pgpipe fill-search`, or call pgpipe.fill_search(%L).', target)
                            else format('Declare one: select pgpipe.enable_search(%L, ''{column=>A}'')', target) end;
    elsif not pgpipe.has_column(target, declared.column_name) then
        raise exception '% has lost its search column %', target, quote_ident(declared.column_name) using errcode = 'PP005',
            hint = format('Declare it again: select pgpipe.enable_search(%L, …)', target);
    end if;
    return declared;
end
$$;


--
-- Name: FUNCTION require_search(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.require_search(target regclass) IS 'What is declared about the search of a target. Raises PP005 where there is none.';


--
-- Name: resume_embedding(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.resume_embedding(target regclass, name text DEFAULT 'default'::text) RETURNS void
    LANGUAGE sql STRICT
    SET search_path TO ''
    AS $$
    update pgpipe.embedding e set paused_at = null
     where e.embedding_id = (pgpipe.require_embedding(resume_embedding.target, resume_embedding.name)).embedding_id
$$;


--
-- Name: FUNCTION resume_embedding(target regclass, name text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.resume_embedding(target regclass, name text) IS 'Claiming goes on. Twice is a no-op. Raises PP008.';


--
-- Name: retry_jobs(integer, jsonb[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.retry_jobs(embedding_id integer DEFAULT NULL::integer, keys jsonb[] DEFAULT NULL::jsonb[]) RETURNS integer
    LANGUAGE sql
    SET search_path TO ''
    AS $$
    -- One that a writer has locked is being revived by that writer.
    with dead as materialized (
        select j.ctid as tid from pgpipe.job j
         where j.dead_at is not null and j.visible_at = 'infinity'
           and j.embedding_id = coalesce(retry_jobs.embedding_id, j.embedding_id)
           and (retry_jobs.keys is null or j.key = any (retry_jobs.keys))
           for update skip locked
    ), retried as (
        update pgpipe.job j set dead_at = null, visible_at = now(), attempts = 0, rescues = 0 from dead d where j.ctid = d.tid
        returning 1
    )
    select count(*)::int from retried
$$;


--
-- Name: FUNCTION retry_jobs(embedding_id integer, keys jsonb[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.retry_jobs(embedding_id integer, keys jsonb[]) IS 'Puts dead jobs back into the queue: all, those of one embedding, or those with the given keys. Returns how many.';


--
-- Name: roles_in_use(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.roles_in_use() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    -- Roles belong to the whole cluster; that this database uses them shows in who owns its schema.
    select exists (select from pg_catalog.pg_namespace n where n.nspname = 'pgpipe' and n.nspowner = to_regrole('pgpipe_owner'))
$$;


--
-- Name: FUNCTION roles_in_use(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.roles_in_use() IS 'Whether this database uses the roles of pgpipe.create_roles.';


--
-- Name: rough_expression(tsquery[], double precision[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.rough_expression(words tsquery[], idf double precision[], document text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select string_agg(format('%s * ts_rank(''{1,1,1,1}'', %s, %L)', g.weight, document, g.query), ' + ')
      from (select sum(w.idf) as weight, pgpipe.any_word(array_agg(w.query)) as query
              from unnest(words, idf) w (query, idf) group by round(w.idf)) g
$$;


--
-- Name: FUNCTION rough_expression(words tsquery[], idf double precision[], document text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.rough_expression(words tsquery[], idf double precision[], document text) IS 'SQL text: about how much of a question a document holds. Words of about the same rarity share one call.';


--
-- Name: row_expression(regclass, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.row_expression(target regclass, alias text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    select coalesce('(select to_jsonb(r.*) from (select ' || string_agg(format('%s.%I', alias, a.attname), ', ' order by a.attnum)
                    || ') r)', '''{}''::jsonb')
      from pg_catalog.pg_attribute a
     where a.attrelid = row_expression.target and a.attnum > 0 and not a.attisdropped
       and has_column_privilege(a.attrelid, a.attnum, 'select')
       and not exists (select from pgpipe.search s where s.target = a.attrelid and s.column_name = a.attname)
       and not exists (select from pgpipe.search_fill f where f.target = a.attrelid and f.column_name = a.attname)
$$;


--
-- Name: FUNCTION row_expression(target regclass, alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.row_expression(target regclass, alias text) IS 'SQL text: the row `alias` as jsonb, with the columns that the caller may read, without the search column.';


--
-- Name: scan_is_exact(pgpipe.embedding, text, integer, jsonb); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.scan_is_exact(e pgpipe.embedding, condition text, wanted integer, kept jsonb DEFAULT NULL::jsonb) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    -- In µs, measured on a million vectors of 128 dimensions.
    visit constant double precision := 20;   -- a step of the walk through the graph that meets one more row
    compare constant double precision := 5;  -- fetching a row, its vector by the key, and comparing it
    beside constant double precision := 0.4; -- comparing a vector that lies in the index of a filter table
    unit constant double precision := 0.6;   -- one of the planner's units
    rare constant double precision := 0.05;  -- below this share of rows the walk also misses more of the nearest: 2 % of them at 5 %
                                             -- of the rows, 5 % at 2 %, 13 % at 1 %; so its price rises
    expected record;
    price double precision;
    vectors double precision := (select greatest(c.reltuples, 1) from pg_catalog.pg_class c where c.oid = e.store);
    rows double precision := greatest(pgpipe.known_rows(e.target), 1);
begin
    if not exists (select from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
                     join pg_catalog.pg_am m on m.oid = x.relam
                    where i.indrelid = e.store and i.indisvalid and m.amname in ('hnsw', 'ivfflat')) then
        return true;
    elsif condition is null then
        return false;
    end if;
    if kept is not null then
        expected := pgpipe.estimate(e.filter_table, pgpipe.filter_condition(e.target, 't', kept));
        price := unit * expected.cost + beside * expected.rows;
    end if;
    expected := pgpipe.estimate(e.target, condition);
    price := coalesce(price, unit * expected.cost + compare * expected.rows * greatest(vectors / rows, 1));
    -- The graph is walked until enough of what it meets passes; the other way compares all that passes.
    return price < visit * wanted * rows / greatest(expected.rows, 1) * (1 + rare * rows / greatest(expected.rows, 1));
end
$$;


--
-- Name: FUNCTION scan_is_exact(e pgpipe.embedding, condition text, wanted integer, kept jsonb); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.scan_is_exact(e pgpipe.embedding, condition text, wanted integer, kept jsonb) IS 'Whether to compare every vector that a condition (null: none) leaves instead of walking the index: few are left, or there is none. `kept` is the part of the filter that the filter table answers.';


--
-- Name: schema_version(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.schema_version(OUT version integer, OUT oldest integer) RETURNS record
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$ select 2, 1 $$;


--
-- Name: FUNCTION schema_version(OUT version integer, OUT oldest integer); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.schema_version(OUT version integer, OUT oldest integer) IS 'The version of what lies in the schema pgpipe, and the oldest version of a client that it still serves. Raised with a release: the first by any change of migrations/ or sql/, the second only where older workers would go wrong.';


--
-- Name: search_expression(regclass, jsonb, regconfig, name, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.search_expression(target regclass, weights jsonb, language regconfig, language_column name DEFAULT NULL::name, alias text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    -- Heavier columns first; `::text` is immutable for the string types and refused by PostgreSQL for the others.
    select string_agg(format('setweight(to_tsvector(%s, %s), %L)',
                             pgpipe.language_expression(search_expression.target, language, language_column,
                                                        pgpipe.column_list(array[language_column], alias)),
                             pgpipe.paired_expression(language, pgpipe.column_list(array[a.attname], alias) || '::text', w.among),
                             w.value),
                      ' || ' order by w.value, a.attnum)
      from (select e.key, e.value, count(*) over ()::int as among from jsonb_each_text(weights) e) w
      join pg_catalog.pg_attribute a on a.attrelid = search_expression.target and a.attname = w.key
$$;


--
-- Name: FUNCTION search_expression(target regclass, weights jsonb, language regconfig, language_column name, alias text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.search_expression(target regclass, weights jsonb, language regconfig, language_column name, alias text) IS 'SQL text of the search column, of the row `alias` where one is given.';


--
-- Name: search_index_statements(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.search_index_statements(target regclass) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    with part as (  -- a partitioned table takes no index concurrently; its own is made of those that its partitions have
        select c.oid::regclass as part from pg_catalog.pg_class c
         where c.relkind = 'r' and c.oid in (select target union select p.relid from pg_catalog.pg_partition_tree(target) p)
    )
    select s.statement
      from pgpipe.missing_search_indexes(target) m
      cross join lateral (
        select 1 as place, format('drop index concurrently %s', i.indexrelid::regclass) as statement  -- left by a build that was cut off
          from part p join pg_catalog.pg_index i on i.indrelid = p.part
          join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where a.attname = m.column_name and not i.indisvalid and i.indnatts = 1
        union all
        select 2, format('create index concurrently on %s using %s (%I)', p.part, m.method, m.column_name)
          from part p where not pgpipe.is_indexed(p.part, m.column_name, m.method)
        union all
        select 3, format('create index on %s using %s (%I)', target, m.method, m.column_name)
          from pg_catalog.pg_class c where c.oid = target and c.relkind = 'p'
      ) s
     order by m.column_name, s.place, s.statement
$$;


--
-- Name: FUNCTION search_index_statements(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.search_index_statements(target regclass) IS 'The statements, each to be run outside of a transaction, that build the indexes a declared search lacks, without locking out writers.';


--
-- Name: search_is_stale(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.search_is_stale(target regclass) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    -- A tenth more or fewer rows moves an idf by less than 0.1; the planner's estimate costs nothing to read.
    select s.refreshed_at is null or abs(pgpipe.known_rows(s.target) - s.documents) > 0.1 * greatest(s.documents, 1)
      from pgpipe.search s where s.target = search_is_stale.target
$$;


--
-- Name: FUNCTION search_is_stale(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.search_is_stale(target regclass) IS 'Whether the lexeme table is missing or a tenth off; null without a search column.';


--
-- Name: search_keeper(regclass, name); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.search_keeper(target regclass, column_name name, OUT trigger name, OUT function regproc) RETURNS record
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    select g.tgname, g.tgfoid::regproc
      from pg_catalog.pg_trigger g
     where g.tgrelid = target and g.tgname ~ '^zzz_pgpipe_search_'
       and g.tgargs = convert_to(column_name::text, getdatabaseencoding()) || '\x00'
$$;


--
-- Name: FUNCTION search_keeper(target regclass, column_name name, OUT trigger name, OUT function regproc); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.search_keeper(target regclass, column_name name, OUT trigger name, OUT function regproc) IS 'The trigger that keeps a search column, and its function; null where PostgreSQL generates it. The trigger''s argument names the column: that outlives a dump, which numbers do not.';


--
-- Name: search_languages(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.search_languages(target regclass) RETURNS regconfig[]
    LANGUAGE plpgsql STABLE STRICT
    SET search_path TO ''
    AS $_$
declare
    declared pgpipe.search := pgpipe.require_search(target);
    languages regconfig[];
begin
    if not exists (select from pg_catalog.pg_ts_config c where c.oid = declared.language) then
        raise exception 'the text search configuration by which % is searched was dropped', target using errcode = 'PP005',
            hint = format('Search it by another: select pgpipe.alter_search(%L, %L, language => ''english'')', target, declared.weights);
    elsif declared.language_column is null then
        return array[declared.language];
    end if;
    -- One step of the index a language, however many rows there are; a row of a new language counts at once.
    execute format($sql$
        with recursive spoken as (
            (select t.%1$I as value from %2$s t where t.%1$I is not null order by t.%1$I limit 1)
            union all
            select (select t.%1$I from %2$s t where t.%1$I > s.value order by t.%1$I limit 1) from spoken s where s.value is not null
        )
        select array_agg(distinct %3$s::oid)::regconfig[] from spoken s
        $sql$, declared.language_column, target,
        pgpipe.language_expression(target, declared.language, declared.language_column, 's.value')) into languages;
    return coalesce(languages, array[declared.language]);
end
$_$;


--
-- Name: FUNCTION search_languages(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.search_languages(target regclass) IS 'The configurations by which a question is read: the one of the table, or those of its rows. Raises PP005 without a search column, or where its configuration was dropped.';


--
-- Name: settle_jobs(integer, uuid, text, jsonb[], bigint[], bytea[]); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.settle_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], OUT done integer[], OUT gone integer[], OUT stale integer, OUT locked integer[]) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $_$
declare
    e pgpipe.embedding;
    seen int[];     -- rows that are there; locked against deletion until the end
    living int[];   -- of those, the ones that still hold the text the worker saw
    held int[];     -- jobs that are still this worker's
    tids tid[];     -- where those lie; locked, so they stay there
    same boolean[]; -- whether nobody enqueued them again
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = settle_jobs.embedding_id;
    -- A worker may not write the target, and a lock on a row asks for that right: hence the rights of the function's owner.
    -- Target first, then job: the order in which a writer's statement and its trigger take them.
    execute format($sql$
        with seen as materialized (
            select w.n, pgpipe.content_hash(%3$s) is not distinct from w.hash as same
              from unnest($1, $2) with ordinality w (key, hash, n) join %1$s t on %2$s
               for key share of t skip locked
        )
        select coalesce(array_agg(n), '{}'), coalesce(array_agg(n) filter (where same), '{}') from seen
        $sql$, e.target, pgpipe.key_match(e.target, e.key_columns, 't', 'w.key'),
        pgpipe.input_expression(e.columns, e.template, e.condition)) into seen, living using keys, hashes;
    gone := '{}';
    if cardinality(seen) < cardinality(keys) then
        execute format('select array(select w.n from unnest($1) with ordinality w (key, n) '
                       'where not exists (select from %1$s t where %2$s))', e.target,
                       pgpipe.key_match(e.target, e.key_columns, 't', 'w.key')) into gone using keys;
    end if;
    with mine as materialized (
        select w.n, j.tid, j.gen = w.gen as same
          from unnest(keys, gens) with ordinality w (key, gen, n)
         cross join lateral (  -- key by key: a join might read all that is leased for each of them
               select j.ctid as tid, j.gen from pgpipe.job j
                where j.embedding_id = settle_jobs.embedding_id and j.key = w.key and j.lease_token = settle_jobs.token
                  for update skip locked) j
    )
    select coalesce(array_agg(m.n), '{}'), array_agg(m.tid), array_agg(m.same) into held, tids, same from mine m;
    done := array(select h.n from unnest(held, same) h (n, same) where h.same and (h.n = any (living) or h.n = any (gone)));
    delete from pgpipe.job j
     where j.ctid = any (array(select h.tid from unnest(held, tids) h (n, tid) where h.n = any (done)));
    if cardinality(done) < cardinality(held) then  -- changed meanwhile: back into the queue for whoever comes next
        update pgpipe.job j set lease_token = null, leased_by = null, visible_at = now()
         where j.ctid = any (array(select h.tid from unnest(held, tids) h (n, tid) where h.n <> all (done)));
    end if;
    locked := '{}';
    if cardinality(held) < cardinality(keys) then
        locked := array(select w.n from unnest(keys) with ordinality w (key, n)
                         cross join lateral (select j.lease_token from pgpipe.job j
                                              where j.embedding_id = settle_jobs.embedding_id and j.key = w.key offset 0) j
                         where j.lease_token = settle_jobs.token and w.n <> all (held));
    end if;
    stale := cardinality(keys) - cardinality(held) - cardinality(locked);
    if done <> '{}' or stale > 0 then
        insert into pgpipe.finished (embedding_id, worker, jobs, stale)
        values (settle_jobs.embedding_id, settle_jobs.worker, cardinality(done), settle_jobs.stale);
        delete from pgpipe.finished f where f.ctid = any (array(
            select o.ctid from pgpipe.finished o where o.finished_at < now() - interval '7 days' limit 100 for update skip locked));
    end if;
    gone := array(select n from unnest(done) n where n = any (gone));
    done := array(select n from unnest(done) n where n = any (living) order by n);
end
$_$;


--
-- Name: FUNCTION settle_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], OUT done integer[], OUT gone integer[], OUT stale integer, OUT locked integer[]); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.settle_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], OUT done integer[], OUT gone integer[], OUT stale integer, OUT locked integer[]) IS 'Deletes the jobs that `token` still holds, whose gen is what it saw and whose row is unchanged or gone; gives the changed ones back. `done` numbers (from 1) those whose row lives and is locked: their vectors may be written in this transaction. `gone` numbers those whose row is not there. `stale` counts the jobs that were no longer this worker''s, `locked` numbers those that are, but which a writer has locked: release them a little later. Nothing of either may be written.';


--
-- Name: share(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.share(target regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    e pgpipe.embedding;
begin
    if not pgpipe.roles_in_use()
       or not (select pg_has_role(c.relowner, 'usage') from pg_catalog.pg_class c where c.oid = target) then
        return;
    end if;
    execute format('grant select on %s to pgpipe_embedder, pgpipe_reader', target);
    for e in select * from pgpipe.embedding x where x.target = share.target loop
        execute format('grant select, insert, update, delete on %s to pgpipe_embedder', e.store);
        execute format('grant select on %s to pgpipe_reader', concat_ws(', ', e.store, e.filter_table));
    end loop;
end
$$;


--
-- Name: FUNCTION share(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.share(target regclass) IS 'Lets the embedder and the reader read a target, and its stores be written by the one and read, with their filter tables, by the other. Nothing where this database does not use the roles, or where the caller does not own the target.';


--
-- Name: start_fill(pgpipe.search_fill); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.start_fill(wanted pgpipe.search_fill) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
    generated name := (select a.attname from pg_catalog.pg_attribute a
                        where a.attrelid = wanted.target and a.attgenerated <> '' and a.attname = any (
                              array(select jsonb_object_keys(wanted.weights)) || wanted.language_column::text) limit 1);
begin
    if generated is not null then
        raise exception '% is a generated column, which a trigger cannot read', quote_ident(generated) using errcode = 'PP003',
            hint = 'Search the columns that it is generated from, or leave `online` out.';
    elsif exists (select from pg_catalog.pg_inherits h join pg_catalog.pg_class c on c.oid = h.inhrelid
                   where h.inhparent = wanted.target and not c.relispartition) then
        raise exception '% has child tables, whose rows its trigger does not see', wanted.target using errcode = 'PP003',
            hint = 'Leave `online` out; where it is searched already, call pgpipe.disable_search first.';
    end if;
    perform pgpipe.execute_briefly(format('alter table %s add column %2$I tsvector, alter column %2$I set storage main',
                                          wanted.target, wanted.column_name));
    perform pgpipe.keep_search_column(wanted);
    insert into pgpipe.search_fill (target, column_name, weights, language, language_column, end_block)
    select wanted.target, wanted.column_name, wanted.weights, wanted.language, wanted.language_column,
           coalesce(max(pg_catalog.pg_relation_size(l.relid) / current_setting('block_size')::int), 0) + 1
      from (select wanted.target as relid union select p.relid from pg_catalog.pg_partition_tree(wanted.target) p where p.isleaf) l
      join pg_catalog.pg_class c on c.oid = l.relid and c.relkind in ('r', 'f');
end
$_$;


--
-- Name: FUNCTION start_fill(wanted pgpipe.search_fill); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.start_fill(wanted pgpipe.search_fill) IS 'Adds the column that a fill will fill, and the trigger that keeps it from now on.';


--
-- Name: suspend_filters(integer, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.suspend_filters(embedding_id integer, reason text) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
begin
    update pgpipe.embedding e set filter_error = reason where e.embedding_id = suspend_filters.embedding_id;
    raise warning 'filtered searches leave the filter table of embedding % alone: %', embedding_id, reason
        using hint = '`pgpipe reconcile` makes it anew, or pgpipe.enable_filters with columns that can be kept.';
end
$$;


--
-- Name: FUNCTION suspend_filters(embedding_id integer, reason text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.suspend_filters(embedding_id integer, reason text) IS 'Takes a filter table out of service: it could not be kept equal, and whoever wrote the target goes on.';


--
-- Name: switch_embedding(regclass, text, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.switch_embedding(target regclass, name text, force boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, name);
    waiting bigint;
begin
    select count(*) into waiting from pgpipe.job j where j.embedding_id = e.embedding_id and j.dead_at is null;
    if waiting > 0 and not force then
        raise exception 'the embedding % of % still lacks vectors: % jobs wait', quote_ident(name), target, waiting
            using errcode = 'PP011', hint = 'Let `pgpipe embedder` finish first; `force` switches all the same.';
    end if;
    -- Both in this transaction: a search sees the one or the other.
    update pgpipe.embedding x set active = false where x.target = switch_embedding.target and x.active and x.embedding_id <> e.embedding_id;
    update pgpipe.embedding x set active = true where x.embedding_id = e.embedding_id and not x.active;
end
$$;


--
-- Name: FUNCTION switch_embedding(target regclass, name text, force boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.switch_embedding(target regclass, name text, force boolean) IS 'Makes search use this embedding from the moment of commit on; the other stays, is kept fresh, and can be switched back to. Raises PP008 for an unknown one, PP011 while jobs of it wait, unless forced.';


--
-- Name: target_columns(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.target_columns(target regclass) RETURNS TABLE(name name, type text, base text, labels text[], filled boolean, required boolean, defaulted boolean)
    LANGUAGE sql STABLE STRICT
    SET search_path TO ''
    AS $$
    select a.attname, t.type_name, t.base, t.labels, a.attgenerated <> '' or a.attidentity = 'a',
           a.attnotnull or (select d.typnotnull from pg_catalog.pg_type d where d.oid = a.atttypid),
           a.atthasdef or a.attidentity <> ''
      from pg_catalog.pg_attribute a, pgpipe.column_type(a.atttypid, a.atttypmod) t
     where a.attrelid = target and a.attnum > 0 and not a.attisdropped
     order by a.attnum
$$;


--
-- Name: FUNCTION target_columns(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.target_columns(target regclass) IS 'The columns of a target in their order: type, which of them the target fills itself, which refuse NULL, which have a default.';


--
-- Name: template_pieces(name[], text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.template_pieces(columns name[], template text) RETURNS TABLE(line integer, field name, literal text)
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
declare
    place int := 1;
    rest text;
    part text;
begin
    line := 1;
    while place <= length(template) loop
        rest := substr(template, place);
        field := null;
        literal := null;
        -- A known column first, the longest where several fit: a column may be called {a}.
        select c into field from unnest(columns) c where starts_with(rest, pgpipe.brace(c)) order by length(c) desc limit 1;
        if field is not null then
            place := place + length(pgpipe.brace(field));
        elsif left(rest, 2) in ('{{', '}}') then
            literal := left(rest, 1);
            place := place + 2;
        elsif left(rest, 1) = E'\n' then
            line := line + 1;
            place := place + 1;
            continue;
        elsif left(rest, 1) in ('{', '}') then
            part := substring(rest from '^\{([^{}]*)\}');
            if part is not null then
                raise exception 'the template names {%}, which is not among the columns %', part, columns using errcode = 'PP003';
            end if;
            raise exception 'the template has a single % that ends or begins no column', quote_literal(left(rest, 1))
                using errcode = 'PP003', hint = 'Write {column}; for the character itself write {{ or }}.';
        else
            literal := substring(rest from '^[^{}\n]+');
            place := place + length(literal);
        end if;
        return next;
    end loop;
end
$$;


--
-- Name: FUNCTION template_pieces(columns name[], template text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.template_pieces(columns name[], template text) IS 'The columns and the text between them of a template, with the line each stands on. {{ and }} are braces. Raises PP003 for a column that is not among `columns`, and for a single brace.';


--
-- Name: text_search(regclass, text, integer, jsonb, integer, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.text_search(target regclass, query text, k integer DEFAULT 10, filter jsonb DEFAULT NULL::jsonb, skip integer DEFAULT 0, prefix boolean DEFAULT false) RETURNS TABLE(key jsonb, score double precision, text_rank integer, passage text, "row" jsonb)
    LANGUAGE plpgsql STABLE ROWS 10
    SET search_path TO ''
    SET jit TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    languages regconfig[] := pgpipe.search_languages(target);
begin
    perform pgpipe.require_page(k, skip);
    return query execute format($sql$
        with ranked as (
            select r.key, r.score, r.rank::int from pgpipe.rank_text($1, $2, $3 + $4, $5, $6) with ordinality r (key, score, rank)
        ), page as materialized (select * from ranked r where r.rank > $4)
        select p.key, p.score, p.rank, %s, %s
          from page p join %s t on %s
         order by p.rank
        $sql$, pgpipe.headline_expression(target, 't', '$7'), pgpipe.row_expression(target, 't'), target,
        pgpipe.key_match(target, pgpipe.require_key(target), 't', 'p.key'))
        using target, query, k, skip, filter, prefix, pgpipe.asked_words(languages, query, prefix);
end
$_$;


--
-- Name: FUNCTION text_search(target regclass, query text, k integer, filter jsonb, skip integer, prefix boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.text_search(target regclass, query text, k integer, filter jsonb, skip integer, prefix boolean) IS 'The k rows that answer a question best by its words, after the first `skip`: key, score (BM25F), text_rank, passage with the words between <b> and </b>, row. Bare words are alternatives, "phrases" must occur, -words must not, word* is a beginning; with `prefix` the last word is one too. Equal scores are ordered by key.';


--
-- Name: unpaired(text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.unpaired(passage text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    -- A character on both sides of a separator was there once; where one side is marked, it is.
    select replace(replace(regexp_replace(regexp_replace(passage collate "C", '(.)</b>\x1f<b>\1', '\1', 'g'),
                                          '(.)(</b>|)\x1f(<b>|)\1', '\3\1\2', 'g'),
                           chr(31), ''), '</b><b>', '')
$$;


--
-- Name: FUNCTION unpaired(passage text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.unpaired(passage text) IS 'A passage of a paired text as it was before, with what is marked between <b> and </b>.';


--
-- Name: unspaced(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.unspaced() RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
    -- Iteration marks, kana without the middle dot, bopomofo, Han, Hangul, kana of half width.
    select '[\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]'
$$;


--
-- Name: FUNCTION unspaced(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.unspaced() IS 'A regular expression: one character of a script without blanks between words.';


--
-- Name: unwatch(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.unwatch(target regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $$
declare
    watcher name;
begin
    for watcher in select g.tgname from pg_catalog.pg_trigger g
                    where g.tgrelid = target and not g.tgisinternal and g.tgfoid = 'pgpipe.enqueue_changes'::regproc loop
        execute format('drop trigger %I on %s', watcher, target);
    end loop;
end
$$;


--
-- Name: FUNCTION unwatch(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.unwatch(target regclass) IS 'Takes the statement triggers off a target again. Twice is a no-op.';


--
-- Name: vector_index(integer, text, integer, interval); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.vector_index(embedding_id integer, kind text DEFAULT 'hnsw'::text, min_rows integer DEFAULT 5000, max_wait interval DEFAULT '01:00:00'::interval, OUT rows bigint, OUT memory bigint, OUT statement text) RETURNS record
    LANGUAGE plpgsql STABLE STRICT
    SET search_path TO ''
    AS $_$
declare
    e pgpipe.embedding;
    name name;
    schema name;
    type text;
    width int;
    lists int;
    sample int;
begin
    select * into e from pgpipe.embedding x where x.embedding_id = vector_index.embedding_id;
    type := case when e.dims > 2000 then 'halfvec' else 'vector' end;
    width := e.dims * case type when 'vector' then 4 else 2 end;
    if e.embedding_id is null or kind not in ('hnsw', 'ivfflat') or e.dims > 4000  -- more than either takes, even of halfvec
       or exists (select from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
                    join pg_catalog.pg_am m on m.oid = x.relam
                   where i.indrelid = e.store and i.indisvalid and m.amname in ('hnsw', 'ivfflat'))
       or e.created_at > now() - max_wait
          and exists (select from pgpipe.job j where j.embedding_id = e.embedding_id and j.visible_at <= now()) then
        return;
    end if;
    execute format('select count(*) from (select from %s limit $1) s', e.store) into rows using min_rows;
    if rows < min_rows then
        return;
    end if;
    execute format('select count(*) from %s', e.store) into rows;
    select pgpipe.derived_name(c.relname, '_' || kind), n.nspname into name, schema
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = e.store;
    lists := pgpipe.inverted_lists(rows);
    sample := greatest(50 * lists, 10000);
    memory := case kind
        -- The graph, m = 16: 711 to 717 bytes a row beside the vector, measured on 0.8; workers in parallel share 3 MB more.
        when 'hnsw' then rows * (width + 720) + (4 << 20)
        else sample::bigint * (width + 4 * lists) + lists::bigint * (3 * width + 4 * lists) end;  -- k-means by Elkan
    statement := format('create index concurrently %I on %s using %s (vector %I.%s_cosine_ops)%s', name, e.store, kind,
                        pgpipe.vector_schema(), type, case kind when 'ivfflat' then format(' with (lists = %s)', lists) else '' end);
end
$_$;


--
-- Name: FUNCTION vector_index(embedding_id integer, kind text, min_rows integer, max_wait interval, OUT rows bigint, OUT memory bigint, OUT statement text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.vector_index(embedding_id integer, kind text, min_rows integer, max_wait interval, OUT rows bigint, OUT memory bigint, OUT statement text) IS 'The statement that builds the vector index of an embedding, with the rows and the bytes of memory that it works on; null where none is due: it has one, it has fewer rows than min_rows (an exact scan reads those in a few milliseconds) or more dimensions than an index takes, or jobs wait and the embedding is younger than max_wait.';


--
-- Name: vector_schema(); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.vector_schema() RETURNS name
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
    select n.nspname from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
     where e.extname = 'vector'
$$;


--
-- Name: FUNCTION vector_schema(); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.vector_schema() IS 'The schema that holds pgvector''s types and operators; null where it is not installed.';


--
-- Name: vector_search(regclass, public.vector, integer, jsonb, integer, text); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.vector_search(target regclass, query public.vector, k integer DEFAULT 10, filter jsonb DEFAULT NULL::jsonb, skip integer DEFAULT 0, embedding text DEFAULT NULL::text) RETURNS TABLE(key jsonb, score double precision, vector_rank integer, passage text, "row" jsonb)
    LANGUAGE plpgsql STABLE ROWS 10
    SET search_path TO ''
    SET jit TO 'off'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET "IntervalStyle" TO 'postgres'
    SET bytea_output TO 'hex'
    SET extra_float_digits TO '1'
    AS $_$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, embedding);
begin
    perform pgpipe.require_page(k, skip);
    return query execute format($sql$
        with ranked as (
            select r.*, row_number() over (order by r.score desc, r.key)::int as rank
              from pgpipe.rank_vector($1, $2, $3 + $4, $5, $6) r
        ), page as materialized (select * from ranked r where r.rank > $4)
        select p.key, p.score, p.rank, %s, %s
          from page p join %s t on %s
         order by p.rank
        $sql$, pgpipe.passage_expression(e, 'p'), pgpipe.row_expression(target, 't'), target,
        pgpipe.key_match(target, e.key_columns, 't', 'p.key'))
        using target, query, k, skip, filter, e.name;
end
$_$;


--
-- Name: FUNCTION vector_search(target regclass, query public.vector, k integer, filter jsonb, skip integer, embedding text); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.vector_search(target regclass, query public.vector, k integer, filter jsonb, skip integer, embedding text) IS 'The k rows nearest to a vector by meaning, after the first `skip`: key, score (cosine similarity), vector_rank, passage (the best chunk), row. Each row once. Searched is the active embedding, or the one that `embedding` names.';


--
-- Name: watch(regclass); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.watch(target regclass) RETURNS void
    LANGUAGE plpgsql STRICT
    SET search_path TO ''
    AS $_$
declare
    event text;
begin
    foreach event in array '{insert,update,delete,truncate}'::text[] loop
        execute format('create or replace trigger pgpipe_%1$s after %1$s on %2$s %3$s for each statement '
                       'execute function pgpipe.enqueue_changes()', event, target,
                       case event when 'insert' then 'referencing new table as new_rows'
                                  when 'update' then 'referencing old table as old_rows new table as new_rows'
                                  when 'delete' then 'referencing old table as old_rows' else '' end);
    end loop;
end
$_$;


--
-- Name: FUNCTION watch(target regclass); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.watch(target regclass) IS 'Puts the statement triggers on a target, one per event. Twice is a no-op.';


--
-- Name: weigh_words(regclass, text, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.weigh_words(target regclass, query text, prefix boolean, OUT words tsquery[], OUT idf double precision[], OUT probes tsquery[], OUT documents double precision[], OUT total double precision, OUT required tsquery) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
    most_words constant int := 128;
    beginnings constant int := 20;  -- words that a beginning stands for
    declared pgpipe.search := pgpipe.require_search(target);
    asked record;
    growth double precision;  -- rows since the lexemes were counted
    counted boolean := exists (select from pgpipe.lexeme l where l.target = weigh_words.target);
begin
    select * into asked from pgpipe.parse_query(pgpipe.search_languages(target), query, prefix);
    required := asked.required;
    select greatest(declared.documents, c.reltuples, 1) into total from pg_catalog.pg_class c where c.oid = target;
    growth := greatest(1, total / greatest(declared.documents, 1));
    with known as (
        select w.word, w.times, w.open, least(total, growth * case
                   when not counted then (pgpipe.estimate(target, format('t.%I @@ %L', declared.column_name,
                                                                        pgpipe.word_query(w.word, w.open)))).rows / growth
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
    select (select array_agg(pgpipe.word_query(s.word) order by s.documents, s.word) from scored s),
           (select array_agg(s.times * ln(1 + (total - least(s.documents, total) + 0.5) / (s.documents + 0.5)) order by s.documents, s.word)
              from scored s),
           array_agg(pgpipe.word_query(k.word, k.open) order by k.documents, k.word), array_agg(k.documents order by k.documents, k.word)
      into words, idf, probes, documents
      from known k;
end
$$;


--
-- Name: FUNCTION weigh_words(target regclass, query text, prefix boolean, OUT words tsquery[], OUT idf double precision[], OUT probes tsquery[], OUT documents double precision[], OUT total double precision, OUT required tsquery); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.weigh_words(target regclass, query text, prefix boolean, OUT words tsquery[], OUT idf double precision[], OUT probes tsquery[], OUT documents double precision[], OUT total double precision, OUT required tsquery) IS 'What a question asks for: the words that score with their idf, and from the rarest to the most common what finds their rows, with the documents that hold each, of `total`. Figures come from the lexeme table, from the planner where that is empty or hidden.';


--
-- Name: word_query(text, boolean); Type: FUNCTION; Schema: pgpipe; Owner: -
--

CREATE FUNCTION pgpipe.word_query(word text, prefix boolean DEFAULT false) RETURNS tsquery
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path TO ''
    AS $$
    select ('''' || replace(replace(word, '\', '\\'), '''', '''''') || case when prefix then ''':*' else '''' end)::tsquery
$$;


--
-- Name: FUNCTION word_query(word text, prefix boolean); Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON FUNCTION pgpipe.word_query(word text, prefix boolean) IS 'The tsquery that asks for this lexeme, or for all that begin with it.';


--
-- Name: article_search_661363c2f7bf8(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.article_search_661363c2f7bf8() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
        begin
            if tg_op = 'INSERT' or new.search is null or new.search is distinct from old.search or (new.title::text collate "C", new.language::text collate "C", new.body::text collate "C") is distinct from (old.title::text collate "C", old.language::text collate "C", old.body::text collate "C") then
                new.search := setweight(to_tsvector(case lower(split_part(translate(new.language::text, '_', '-'), '-', 1)) when 'ar' then 'arabic'::pg_catalog.regconfig when 'arabic' then 'arabic'::pg_catalog.regconfig when 'armenian' then 'armenian'::pg_catalog.regconfig when 'basque' then 'basque'::pg_catalog.regconfig when 'ca' then 'catalan'::pg_catalog.regconfig when 'catalan' then 'catalan'::pg_catalog.regconfig when 'da' then 'danish'::pg_catalog.regconfig when 'danish' then 'danish'::pg_catalog.regconfig when 'de' then 'german'::pg_catalog.regconfig when 'dutch' then 'dutch'::pg_catalog.regconfig when 'el' then 'greek'::pg_catalog.regconfig when 'en' then 'english'::pg_catalog.regconfig when 'english' then 'english'::pg_catalog.regconfig when 'es' then 'spanish'::pg_catalog.regconfig when 'eu' then 'basque'::pg_catalog.regconfig when 'fi' then 'finnish'::pg_catalog.regconfig when 'finnish' then 'finnish'::pg_catalog.regconfig when 'fr' then 'french'::pg_catalog.regconfig when 'french' then 'french'::pg_catalog.regconfig when 'ga' then 'irish'::pg_catalog.regconfig when 'german' then 'german'::pg_catalog.regconfig when 'greek' then 'greek'::pg_catalog.regconfig when 'hi' then 'hindi'::pg_catalog.regconfig when 'hindi' then 'hindi'::pg_catalog.regconfig when 'hu' then 'hungarian'::pg_catalog.regconfig when 'hungarian' then 'hungarian'::pg_catalog.regconfig when 'hy' then 'armenian'::pg_catalog.regconfig when 'id' then 'indonesian'::pg_catalog.regconfig when 'indonesian' then 'indonesian'::pg_catalog.regconfig when 'irish' then 'irish'::pg_catalog.regconfig when 'it' then 'italian'::pg_catalog.regconfig when 'italian' then 'italian'::pg_catalog.regconfig when 'lithuanian' then 'lithuanian'::pg_catalog.regconfig when 'lt' then 'lithuanian'::pg_catalog.regconfig when 'nb' then 'norwegian'::pg_catalog.regconfig when 'ne' then 'nepali'::pg_catalog.regconfig when 'nepali' then 'nepali'::pg_catalog.regconfig when 'nl' then 'dutch'::pg_catalog.regconfig when 'nn' then 'norwegian'::pg_catalog.regconfig when 'no' then 'norwegian'::pg_catalog.regconfig when 'norwegian' then 'norwegian'::pg_catalog.regconfig when 'portuguese' then 'portuguese'::pg_catalog.regconfig when 'pt' then 'portuguese'::pg_catalog.regconfig when 'ro' then 'romanian'::pg_catalog.regconfig when 'romanian' then 'romanian'::pg_catalog.regconfig when 'ru' then 'russian'::pg_catalog.regconfig when 'russian' then 'russian'::pg_catalog.regconfig when 'serbian' then 'serbian'::pg_catalog.regconfig when 'simple' then 'simple'::pg_catalog.regconfig when 'spanish' then 'spanish'::pg_catalog.regconfig when 'sr' then 'serbian'::pg_catalog.regconfig when 'sv' then 'swedish'::pg_catalog.regconfig when 'swedish' then 'swedish'::pg_catalog.regconfig when 'ta' then 'tamil'::pg_catalog.regconfig when 'tamil' then 'tamil'::pg_catalog.regconfig when 'tr' then 'turkish'::pg_catalog.regconfig when 'turkish' then 'turkish'::pg_catalog.regconfig when 'yi' then 'yiddish'::pg_catalog.regconfig when 'yiddish' then 'yiddish'::pg_catalog.regconfig else 'english'::pg_catalog.regconfig end, case when octet_length(new.title::text) > char_length(new.title::text) and new.title::text collate "C" ~ E'[\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff]' then regexp_replace(regexp_replace(regexp_replace(left(new.title::text, 80000) collate "C", E'([\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff]+)', chr(31) || '\1' || chr(31), 'g'), E'([\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff])', '\1' || chr(31) || '\1', 'g'), chr(31) || E'([\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff])' || chr(31) || E'(?=[\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff])', chr(31), 'g') when octet_length(new.title::text) > 300000 then left(new.title::text, 300000) else coalesce(new.title::text, '') end), 'A') || setweight(to_tsvector(case lower(split_part(translate(new.language::text, '_', '-'), '-', 1)) when 'ar' then 'arabic'::pg_catalog.regconfig when 'arabic' then 'arabic'::pg_catalog.regconfig when 'armenian' then 'armenian'::pg_catalog.regconfig when 'basque' then 'basque'::pg_catalog.regconfig when 'ca' then 'catalan'::pg_catalog.regconfig when 'catalan' then 'catalan'::pg_catalog.regconfig when 'da' then 'danish'::pg_catalog.regconfig when 'danish' then 'danish'::pg_catalog.regconfig when 'de' then 'german'::pg_catalog.regconfig when 'dutch' then 'dutch'::pg_catalog.regconfig when 'el' then 'greek'::pg_catalog.regconfig when 'en' then 'english'::pg_catalog.regconfig when 'english' then 'english'::pg_catalog.regconfig when 'es' then 'spanish'::pg_catalog.regconfig when 'eu' then 'basque'::pg_catalog.regconfig when 'fi' then 'finnish'::pg_catalog.regconfig when 'finnish' then 'finnish'::pg_catalog.regconfig when 'fr' then 'french'::pg_catalog.regconfig when 'french' then 'french'::pg_catalog.regconfig when 'ga' then 'irish'::pg_catalog.regconfig when 'german' then 'german'::pg_catalog.regconfig when 'greek' then 'greek'::pg_catalog.regconfig when 'hi' then 'hindi'::pg_catalog.regconfig when 'hindi' then 'hindi'::pg_catalog.regconfig when 'hu' then 'hungarian'::pg_catalog.regconfig when 'hungarian' then 'hungarian'::pg_catalog.regconfig when 'hy' then 'armenian'::pg_catalog.regconfig when 'id' then 'indonesian'::pg_catalog.regconfig when 'indonesian' then 'indonesian'::pg_catalog.regconfig when 'irish' then 'irish'::pg_catalog.regconfig when 'it' then 'italian'::pg_catalog.regconfig when 'italian' then 'italian'::pg_catalog.regconfig when 'lithuanian' then 'lithuanian'::pg_catalog.regconfig when 'lt' then 'lithuanian'::pg_catalog.regconfig when 'nb' then 'norwegian'::pg_catalog.regconfig when 'ne' then 'nepali'::pg_catalog.regconfig when 'nepali' then 'nepali'::pg_catalog.regconfig when 'nl' then 'dutch'::pg_catalog.regconfig when 'nn' then 'norwegian'::pg_catalog.regconfig when 'no' then 'norwegian'::pg_catalog.regconfig when 'norwegian' then 'norwegian'::pg_catalog.regconfig when 'portuguese' then 'portuguese'::pg_catalog.regconfig when 'pt' then 'portuguese'::pg_catalog.regconfig when 'ro' then 'romanian'::pg_catalog.regconfig when 'romanian' then 'romanian'::pg_catalog.regconfig when 'ru' then 'russian'::pg_catalog.regconfig when 'russian' then 'russian'::pg_catalog.regconfig when 'serbian' then 'serbian'::pg_catalog.regconfig when 'simple' then 'simple'::pg_catalog.regconfig when 'spanish' then 'spanish'::pg_catalog.regconfig when 'sr' then 'serbian'::pg_catalog.regconfig when 'sv' then 'swedish'::pg_catalog.regconfig when 'swedish' then 'swedish'::pg_catalog.regconfig when 'ta' then 'tamil'::pg_catalog.regconfig when 'tamil' then 'tamil'::pg_catalog.regconfig when 'tr' then 'turkish'::pg_catalog.regconfig when 'turkish' then 'turkish'::pg_catalog.regconfig when 'yi' then 'yiddish'::pg_catalog.regconfig when 'yiddish' then 'yiddish'::pg_catalog.regconfig else 'english'::pg_catalog.regconfig end, case when octet_length(new.body::text) > char_length(new.body::text) and new.body::text collate "C" ~ E'[\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff]' then regexp_replace(regexp_replace(regexp_replace(left(new.body::text, 80000) collate "C", E'([\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff]+)', chr(31) || '\1' || chr(31), 'g'), E'([\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff])', '\1' || chr(31) || '\1', 'g'), chr(31) || E'([\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff])' || chr(31) || E'(?=[\\u3005-\\u3007\\u3041-\\u30fa\\u30fc-\\u31ff\\u3400-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff66-\\uff9f\\U00020000-\\U0003ffff])', chr(31), 'g') when octet_length(new.body::text) > 300000 then left(new.body::text, 300000) else coalesce(new.body::text, '') end), 'B');
            end if;
            return new;
        end
        $$;


--
-- Name: FUNCTION article_search_661363c2f7bf8(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.article_search_661363c2f7bf8() IS 'Keeps public.article.search; made by pgpipe.';


--
-- Name: _yoyo_log; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe._yoyo_log (
    id character varying(36) NOT NULL,
    migration_hash character varying(64),
    migration_id character varying(255),
    operation character varying(10),
    username character varying(255),
    hostname character varying(255),
    comment character varying(255),
    created_at_utc timestamp without time zone
);


--
-- Name: _yoyo_migration; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe._yoyo_migration (
    migration_hash character varying(64) NOT NULL,
    migration_id character varying(255),
    applied_at_utc timestamp without time zone
);


--
-- Name: _yoyo_version; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe._yoyo_version (
    version integer NOT NULL,
    installed_at_utc timestamp without time zone
);


--
-- Name: embedding_embedding_id_seq; Type: SEQUENCE; Schema: pgpipe; Owner: -
--

ALTER TABLE pgpipe.embedding ALTER COLUMN embedding_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgpipe.embedding_embedding_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: finished; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.finished (
    embedding_id integer NOT NULL,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    worker text,
    jobs integer NOT NULL,
    stale integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_jobs_check CHECK ((jobs >= 0)),
    CONSTRAINT finished_stale_check CHECK ((stale >= 0))
);


--
-- Name: TABLE finished; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.finished IS 'What workers finished, one row for each batch, written in the transaction that finished it and kept for a week: rates come from here.';


--
-- Name: job; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.job (
    embedding_id integer NOT NULL,
    key jsonb NOT NULL,
    gen bigint DEFAULT 1 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    rescues integer DEFAULT 0 NOT NULL,
    enqueued_at timestamp with time zone DEFAULT now() NOT NULL,
    visible_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_token uuid,
    leased_by text,
    last_error text,
    dead_at timestamp with time zone,
    CONSTRAINT job_check CHECK (((lease_token IS NULL) = (leased_by IS NULL))),
    CONSTRAINT job_check1 CHECK (((dead_at IS NOT NULL) = (visible_at = 'infinity'::timestamp with time zone))),
    CONSTRAINT job_check2 CHECK (((dead_at IS NULL) OR ((lease_token IS NULL) AND (last_error IS NOT NULL)))),
    CONSTRAINT job_key_check CHECK ((jsonb_typeof(key) = 'object'::text))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_cost_delay='0');


--
-- Name: TABLE job; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.job IS 'The queue: this key of this embedding needs a fresh vector. One row per (embedding, key).';


--
-- Name: embedding_status; Type: VIEW; Schema: pgpipe; Owner: -
--

CREATE VIEW pgpipe.embedding_status AS
 WITH counted AS (
         SELECT e_1.embedding_id,
            j_1.jobs,
            j_1.leased,
            j_1.dead,
            j_1.oldest
           FROM (pgpipe.embedding e_1
             CROSS JOIN LATERAL ( SELECT count(*) AS jobs,
                    count(a.lease_token) AS leased,
                    count(a.dead_at) AS dead,
                    min(a.enqueued_at) FILTER (WHERE (a.dead_at IS NULL)) AS oldest
                   FROM ( SELECT b.lease_token,
                            b.dead_at,
                            b.enqueued_at
                           FROM pgpipe.job b
                          WHERE (b.embedding_id = e_1.embedding_id)
                          ORDER BY b.visible_at
                         LIMIT 100001) a) j_1)
        ), sampled AS (
         SELECT s.embedding_id,
            (round((((count(*) * 100))::numeric / p.percent)))::bigint AS jobs,
            (round((((count(s.dead_at) * 100))::numeric / p.percent)))::bigint AS dead,
            min(s.enqueued_at) FILTER (WHERE (s.dead_at IS NULL)) AS oldest
           FROM (( SELECT
                        CASE
                            WHEN (max(c_1.jobs) > 100000) THEN LEAST((100)::numeric, ((((2000 * 100))::numeric * (current_setting('block_size'::text))::numeric) / (pg_relation_size('pgpipe.job'::regclass))::numeric))
                            ELSE (0)::numeric
                        END AS percent
                   FROM counted c_1) p
             CROSS JOIN LATERAL ( SELECT job.embedding_id,
                    job.key,
                    job.gen,
                    job.attempts,
                    job.rescues,
                    job.enqueued_at,
                    job.visible_at,
                    job.lease_token,
                    job.leased_by,
                    job.last_error,
                    job.dead_at
                   FROM pgpipe.job TABLESAMPLE system (p.percent) REPEATABLE (0)) s)
          GROUP BY s.embedding_id, p.percent
        ), queue AS (
         SELECT c_1.embedding_id,
            c_1.leased,
            c_1.dead,
            ((c_1.jobs - c_1.leased) - c_1.dead) AS waiting,
            c_1.oldest,
            false AS estimated
           FROM counted c_1
          WHERE (c_1.jobs <= 100000)
        UNION ALL
         SELECT c_1.embedding_id,
            l.jobs,
            GREATEST(d.jobs,
                CASE
                    WHEN (d.jobs >= 100000) THEN s.dead
                    ELSE NULL::bigint
                END) AS "greatest",
            GREATEST(((GREATEST(c_1.jobs, s.jobs) - l.jobs) - GREATEST(d.jobs,
                CASE
                    WHEN (d.jobs >= 100000) THEN s.dead
                    ELSE NULL::bigint
                END)), (0)::bigint) AS "greatest",
            LEAST(c_1.oldest, l.oldest, s.oldest) AS "least",
            true
           FROM (((counted c_1
             LEFT JOIN sampled s USING (embedding_id))
             CROSS JOIN LATERAL ( SELECT count(a.lease_token) AS jobs,
                    min(a.enqueued_at) AS oldest
                   FROM ( SELECT b.lease_token,
                            b.enqueued_at
                           FROM pgpipe.job b
                          WHERE ((b.embedding_id = c_1.embedding_id) AND (b.visible_at > now()) AND (b.visible_at < 'infinity'::timestamp with time zone))
                          ORDER BY b.visible_at
                         LIMIT 100000) a) l)
             CROSS JOIN LATERAL ( SELECT count(*) AS jobs
                   FROM ( SELECT
                           FROM pgpipe.job b
                          WHERE ((b.embedding_id = c_1.embedding_id) AND (b.visible_at = 'infinity'::timestamp with time zone))
                          ORDER BY b.visible_at
                         LIMIT 100000) a) d)
          WHERE (c_1.jobs > 100000)
        )
 SELECT e.embedding_id,
    c.relname AS entity,
    e.name,
    e.model,
    e.dims,
    e.active,
    (e.paused_at IS NOT NULL) AS paused,
    j.waiting,
    j.leased,
    j.dead,
    n.rows,
    round(((1)::numeric - ((((j.waiting + j.leased) + j.dead))::numeric / (NULLIF(GREATEST(n.rows, ((j.waiting + j.leased) + j.dead)), 0))::numeric)), 4) AS coverage,
    (now() - j.oldest) AS oldest_age,
    f.rate,
    make_interval(secs => (((j.waiting + j.leased))::double precision / (NULLIF(f.rate, (0)::numeric))::double precision)) AS eta,
    f.stale,
    j.estimated,
    t.nspname AS schema
   FROM (((((queue j
     JOIN pgpipe.embedding e USING (embedding_id))
     JOIN pg_class c ON ((c.oid = (e.target)::oid)))
     JOIN pg_namespace t ON ((t.oid = c.relnamespace)))
     CROSS JOIN LATERAL ( SELECT pgpipe.embeddable_rows(e.*) AS rows
         OFFSET 0) n)
     CROSS JOIN LATERAL ( SELECT ( SELECT round(((COALESCE(sum(w.jobs), (0)::bigint))::numeric / 60.0), 1) AS round
                   FROM pgpipe.finished w
                  WHERE ((w.embedding_id = e.embedding_id) AND (w.finished_at > (now() - '00:01:00'::interval)))) AS rate,
            ( SELECT COALESCE(sum(w.stale), (0)::bigint) AS "coalesce"
                   FROM pgpipe.finished w
                  WHERE ((w.embedding_id = e.embedding_id) AND (w.stale > 0))) AS stale) f);


--
-- Name: VIEW embedding_status; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON VIEW pgpipe.embedding_status IS 'Per embedding: its model; the jobs waiting, leased and dead; the rows it is for and the share of them whose vectors are up to date (coverage); the age of the oldest job (lag); jobs per second over the last minute, and when the queue is empty at that rate (eta); results dropped within a week because their job had passed to another worker (stale). Beyond 100,000 jobs of an embedding those waiting, and what is computed from them, are an estimate, right to about a tenth (estimated).';


--
-- Name: embedding_throughput; Type: VIEW; Schema: pgpipe; Owner: -
--

CREATE VIEW pgpipe.embedding_throughput AS
 SELECT f.embedding_id,
    c.relname AS entity,
    e.name,
    date_trunc('minute'::text, f.finished_at) AS minute,
    sum(f.jobs) AS jobs
   FROM ((pgpipe.finished f
     JOIN pgpipe.embedding e USING (embedding_id))
     JOIN pg_class c ON ((c.oid = (e.target)::oid)))
  GROUP BY f.embedding_id, c.relname, e.name, (date_trunc('minute'::text, f.finished_at));


--
-- Name: VIEW embedding_throughput; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON VIEW pgpipe.embedding_throughput IS 'Jobs finished per embedding and minute, for a week back; minutes without any are left out.';


--
-- Name: index_progress; Type: VIEW; Schema: pgpipe; Owner: -
--

CREATE VIEW pgpipe.index_progress AS
 SELECT e.embedding_id,
    c.relname AS entity,
    e.name,
    p.pid,
    p.phase,
        CASE
            WHEN (p.blocks_total > 0) THEN ((100.0 * (p.blocks_done)::numeric) / (p.blocks_total)::numeric)
            WHEN (p.tuples_total > 0) THEN ((100.0 * (p.tuples_done)::numeric) / (p.tuples_total)::numeric)
            ELSE NULL::numeric
        END AS percent
   FROM ((pg_stat_progress_create_index p
     JOIN pgpipe.embedding e ON (((e.store)::oid = ((p.relid)::regclass)::oid)))
     JOIN pg_class c ON ((c.oid = (e.target)::oid)))
  WHERE (p.datname = current_database());


--
-- Name: VIEW index_progress; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON VIEW pgpipe.index_progress IS 'Vector indexes that are being built now: the phase, and the share of it that is done.';


--
-- Name: lexeme; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.lexeme (
    target regclass NOT NULL,
    lexeme text NOT NULL COLLATE pg_catalog."C",
    documents real NOT NULL,
    CONSTRAINT lexeme_documents_check CHECK ((documents > (0)::double precision))
);


--
-- Name: TABLE lexeme; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.lexeme IS 'Document frequency of each lexeme of a target; ranking uses it, and works without it.';


--
-- Name: load; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.load (
    load_id bigint NOT NULL,
    schema name DEFAULT 'public'::name NOT NULL,
    entity text NOT NULL,
    date date NOT NULL,
    mode text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    read bigint DEFAULT 0 NOT NULL,
    inserted bigint DEFAULT 0 NOT NULL,
    updated bigint DEFAULT 0 NOT NULL,
    deleted bigint DEFAULT 0 NOT NULL,
    unchanged bigint DEFAULT 0 NOT NULL,
    rejected bigint DEFAULT 0 NOT NULL,
    error text,
    CONSTRAINT load_check CHECK (((error IS NULL) OR (finished_at IS NOT NULL))),
    CONSTRAINT load_mode_check CHECK ((mode = ANY (ARRAY['append'::text, 'upsert'::text, 'snapshot'::text])))
);


--
-- Name: TABLE load; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.load IS 'One row per load: one run of one entity over one date.';


--
-- Name: load_file; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.load_file (
    schema name DEFAULT 'public'::name NOT NULL,
    entity text NOT NULL,
    file text NOT NULL,
    etag text NOT NULL,
    date date NOT NULL,
    bytes bigint NOT NULL,
    read bigint NOT NULL,
    rejected bigint DEFAULT 0 NOT NULL,
    load_id bigint NOT NULL,
    loaded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT load_file_bytes_check CHECK ((bytes >= 0)),
    CONSTRAINT load_file_read_check CHECK ((read >= 0)),
    CONSTRAINT load_file_rejected_check CHECK ((rejected >= 0))
);


--
-- Name: TABLE load_file; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.load_file IS 'The ledger: the files whose rows are in the target, written in the transaction that put them there.';


--
-- Name: load_load_id_seq; Type: SEQUENCE; Schema: pgpipe; Owner: -
--

ALTER TABLE pgpipe.load ALTER COLUMN load_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgpipe.load_load_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: load_status; Type: VIEW; Schema: pgpipe; Owner: -
--

CREATE VIEW pgpipe.load_status AS
 SELECT DISTINCT ON (entity, schema) entity,
    date,
    mode,
    started_at,
    finished_at,
    read,
    inserted,
    updated,
    deleted,
    unchanged,
    error,
        CASE
            WHEN (error IS NOT NULL) THEN 'failed'::text
            WHEN (finished_at IS NULL) THEN 'running'::text
            ELSE 'done'::text
        END AS state,
    schema
   FROM pgpipe.load l
  ORDER BY entity, schema, started_at DESC, load_id DESC;


--
-- Name: VIEW load_status; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON VIEW pgpipe.load_status IS 'The last load of each entity.';


--
-- Name: load_throughput; Type: VIEW; Schema: pgpipe; Owner: -
--

CREATE VIEW pgpipe.load_throughput AS
 SELECT entity,
    schema,
    started_at,
    read,
    ((read)::double precision / (GREATEST(EXTRACT(epoch FROM (finished_at - started_at)), 0.001))::double precision) AS rows_per_second
   FROM pgpipe.load l
  WHERE ((finished_at IS NOT NULL) AND (error IS NULL) AND (read > 0));


--
-- Name: VIEW load_throughput; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON VIEW pgpipe.load_throughput IS 'How fast each load was that read rows and did not fail.';


--
-- Name: queue_status; Type: VIEW; Schema: pgpipe; Owner: -
--

CREATE VIEW pgpipe.queue_status AS
 SELECT t.n_live_tup AS live_tuples,
    t.n_dead_tup AS dead_tuples,
    t.last_autovacuum,
    pg_total_relation_size((t.relid)::regclass) AS bytes,
    s.holder AS oldest_snapshot,
    s.since AS oldest_snapshot_since,
    s.age AS oldest_snapshot_age
   FROM (pg_stat_all_tables t
     LEFT JOIN LATERAL ( SELECT h.holder,
            h.since,
            h.age
           FROM ( SELECT format('process %s (%s)'::text, a.pid, COALESCE(NULLIF(a.application_name, ''::text), a.backend_type)) AS format,
                    a.xact_start,
                    age(a.backend_xmin) AS age
                   FROM pg_stat_activity a
                  WHERE ((a.backend_xmin IS NOT NULL) AND (a.pid <> pg_backend_pid()))
                UNION ALL
                 SELECT format('prepared transaction %s'::text, p.gid) AS format,
                    p.prepared,
                    age(p.transaction) AS age
                   FROM pg_prepared_xacts p
                UNION ALL
                 SELECT format('replication slot %s'::text, r.slot_name) AS format,
                    NULL::timestamp with time zone,
                    age(r.xmin) AS age
                   FROM pg_replication_slots r
                  WHERE (r.xmin IS NOT NULL)) h(holder, since, age)
          ORDER BY h.age DESC, h.since
         LIMIT 1) s ON (true))
  WHERE (t.relid = ('pgpipe.job'::regclass)::oid);


--
-- Name: VIEW queue_status; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON VIEW pgpipe.queue_status IS 'The health of the job table: dead tuples that wait for vacuum, and what holds the oldest snapshot, which keeps vacuum from removing them: its age in transactions. Other users'' processes are shown to members of pg_read_all_stats only.';


--
-- Name: reconciliation; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.reconciliation (
    embedding_id integer NOT NULL,
    "position" jsonb,
    examined bigint DEFAULT 0 NOT NULL,
    enqueued bigint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    moved_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE reconciliation; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.reconciliation IS 'How far an unfinished `pgpipe reconcile` came; it goes on from there. Gone once it is through.';


--
-- Name: rejected_row; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.rejected_row (
    schema name DEFAULT 'public'::name NOT NULL,
    entity text NOT NULL,
    file text NOT NULL,
    etag text NOT NULL,
    row_group integer NOT NULL,
    row_number bigint NOT NULL,
    column_name text,
    reason text NOT NULL,
    key jsonb,
    "row" jsonb,
    load_id bigint NOT NULL,
    rejected_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT rejected_row_key_check CHECK ((jsonb_typeof(key) = 'object'::text)),
    CONSTRAINT rejected_row_row_check CHECK ((jsonb_typeof("row") = 'object'::text)),
    CONSTRAINT rejected_row_row_group_check CHECK ((row_group >= 0)),
    CONSTRAINT rejected_row_row_number_check CHECK ((row_number >= 0))
);


--
-- Name: TABLE rejected_row; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.rejected_row IS 'Rows of the files in the ledger that are not in the target, and why: a value in them cannot be stored, and the policy was `reject`.';


--
-- Name: sql_file; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.sql_file (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE sql_file; Type: COMMENT; Schema: pgpipe; Owner: -
--

COMMENT ON TABLE pgpipe.sql_file IS 'The files of sql/ as last applied; one whose checksum differs is applied again.';


--
-- Name: yoyo_lock; Type: TABLE; Schema: pgpipe; Owner: -
--

CREATE TABLE pgpipe.yoyo_lock (
    locked integer DEFAULT 1 NOT NULL,
    ctime timestamp without time zone,
    pid integer NOT NULL
);


--
-- Name: article; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.article (
    id bigint NOT NULL,
    title text,
    body text,
    language text,
    search tsvector
);
ALTER TABLE ONLY public.article ALTER COLUMN search SET STORAGE MAIN;


--
-- Name: product; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product (
    id bigint NOT NULL,
    text text,
    search tsvector GENERATED ALWAYS AS (setweight(to_tsvector('english'::regconfig,
CASE
    WHEN ((octet_length(text) > char_length(text)) AND ((text COLLATE "C") ~ '[\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]'::text)) THEN regexp_replace(regexp_replace(regexp_replace(("left"(text, 80000) COLLATE "C"), '([\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+)'::text, ((chr(31) || '\1'::text) || chr(31)), 'g'::text), '([\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])'::text, (('\1'::text || chr(31)) || '\1'::text), 'g'::text), (((chr(31) || '([\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])'::text) || chr(31)) || '(?=[\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])'::text), chr(31), 'g'::text)
    WHEN (octet_length(text) > 300000) THEN "left"(text, 300000)
    ELSE COALESCE(text, ''::text)
END), 'A'::"char")) STORED
);
ALTER TABLE ONLY public.product ALTER COLUMN search SET STORAGE MAIN;


--
-- Name: product_embedding; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product_embedding (
    id bigint NOT NULL,
    chunk integer NOT NULL,
    char_start integer NOT NULL,
    char_end integer NOT NULL,
    content_hash bytea NOT NULL,
    model text NOT NULL,
    vector public.vector(3) NOT NULL,
    CONSTRAINT product_embedding_char_start_check CHECK ((char_start >= 0)),
    CONSTRAINT product_embedding_check CHECK ((char_end > char_start)),
    CONSTRAINT product_embedding_chunk_check CHECK ((chunk >= 0))
);
ALTER TABLE ONLY public.product_embedding ALTER COLUMN vector SET STORAGE MAIN;


--
-- Name: product_embedding_filter; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.product_embedding_filter (
    id bigint NOT NULL,
    chunk integer NOT NULL,
    vector public.halfvec(3) NOT NULL,
    text text
);
ALTER TABLE ONLY public.product_embedding_filter ALTER COLUMN vector SET STORAGE MAIN;


--
-- Data for Name: _yoyo_log; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe._yoyo_log (id, migration_hash, migration_id, operation, username, hostname, comment, created_at_utc) FROM stdin;
6ce94550-e9f0-11f1-a654-02fc00000001	3d4e49138f5656408afaba66f07f10aded6f025f4a5656e54223548850f73f8a	0001_schema	apply	root	localhost	\N	2026-11-26 23:23:45.386414
6ceaefd6-e9f0-11f1-a654-02fc00000001	486769aa012f42d5acfcaa957c478ab88396f796fca4a902423a52823317fdb9	0002_filters	apply	root	localhost	\N	2026-11-26 23:23:45.395725
\.


--
-- Data for Name: _yoyo_migration; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe._yoyo_migration (migration_hash, migration_id, applied_at_utc) FROM stdin;
3d4e49138f5656408afaba66f07f10aded6f025f4a5656e54223548850f73f8a	0001_schema	2026-11-26 23:23:45.388041
486769aa012f42d5acfcaa957c478ab88396f796fca4a902423a52823317fdb9	0002_filters	2026-11-26 23:23:45.396464
\.


--
-- Data for Name: _yoyo_version; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe._yoyo_version (version, installed_at_utc) FROM stdin;
2	2026-11-26 23:23:45.306489
\.


--
-- Data for Name: embedding; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.embedding (embedding_id, target, name, store, key_columns, columns, template, condition, model, dims, chunk_size, chunk_overlap, active, paused_at, max_attempts, fingerprint, created_at, filters, filter_table, filter_error) FROM stdin;
1	public.product	default	public.product_embedding	{id}	{text}	{text}	\N	fake	3	\N	0	t	\N	5	\\x5c2afa3e23b3393fba3df83e44195c3f3614b03ed74dc13e8097be3ecb93353f013f193f47862f3fba75393e017e343f	2026-11-26 23:23:46.047174+00	{text}	public.product_embedding_filter	\N
\.


--
-- Data for Name: finished; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.finished (embedding_id, finished_at, worker, jobs, stale) FROM stdin;
1	2026-11-26 23:23:46.098453+00	vm:4527	4	0
\.


--
-- Data for Name: job; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.job (embedding_id, key, gen, attempts, rescues, enqueued_at, visible_at, lease_token, leased_by, last_error, dead_at) FROM stdin;
1	{"id": 1}	1	0	0	2026-11-26 23:23:46.123081+00	2026-11-26 23:23:46.123081+00	\N	\N	\N	\N
\.


--
-- Data for Name: lexeme; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.lexeme (target, lexeme, documents) FROM stdin;
public.product	waterproof	4
public.product	number	4
public.product	jacket	4
public.product	3	1
public.product	2	1
public.product	1	1
public.product	0	1
\.


--
-- Data for Name: load; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.load (load_id, schema, entity, date, mode, started_at, finished_at, read, inserted, updated, deleted, unchanged, rejected, error) FROM stdin;
1	public	product	2026-01-01	upsert	2026-11-26 23:23:45.989055+00	2026-11-26 23:23:46.031829+00	4	4	0	0	0	0	\N
\.


--
-- Data for Name: load_file; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.load_file (schema, entity, file, etag, date, bytes, read, rejected, load_id, loaded_at) FROM stdin;
public	product	file:///tmp/tmpwbfor9jo/2026-01-01/product/part-0.parquet	f300401e67b4f6463655e05963800107650e357e085eb13d9f02c20f5d4ce7cd	2026-01-01	880	4	0	1	2026-11-26 23:23:46.023938+00
\.


--
-- Data for Name: reconciliation; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.reconciliation (embedding_id, "position", examined, enqueued, started_at, moved_at) FROM stdin;
\.


--
-- Data for Name: rejected_row; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, "row", load_id, rejected_at) FROM stdin;
\.


--
-- Data for Name: search; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.search (target, column_name, weights, language, language_column, by_trigger, documents, mean_length, refreshed_at) FROM stdin;
public.product	search	{"text": "A"}	english	\N	f	4	4	2026-11-26 23:23:46.043432+00
\.


--
-- Data for Name: search_fill; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.search_fill (target, column_name, weights, language, language_column, next_block, end_block, filled, started_at) FROM stdin;
public.article	search	{"body": "B", "title": "A"}	english	language	2	2	2	2026-11-26 23:23:46.128625+00
\.


--
-- Data for Name: sql_file; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.sql_file (name, checksum, applied_at) FROM stdin;
05_version.sql	5e80f4d7087b5b17eda93c28aecc38edf2e0a640577be6f99ef2ccd59d3d79e6	2026-11-26 23:23:45.398774+00
10_target.sql	7d210b28be8eacff8262d2304e645ab3f65395a36786b433abbfbc0cdad66ce8	2026-11-26 23:23:45.399983+00
12_filter.sql	f7dc6bf9cde02fba498f83fe5e340b227a5c2f5537c85b7e4b7f8f7665862b09	2026-11-26 23:23:45.455563+00
18_search_language.sql	ae4b3e3eed1271bc5161da5e733c302a98173a39cd35db1529fed44f757fd764	2026-11-26 23:23:45.458626+00
19_unspaced_text.sql	0591a5a7654ccfc2a6cc789507ff704e087bff66be4ad92186e683fe4725a3f7	2026-11-26 23:23:45.460739+00
20_search.sql	8da4a22626b176606b206ab8c6ef0b3268b7ab1c821cfa462ecbc8dbb60db47c	2026-11-26 23:23:45.463658+00
21_text_search.sql	c2265c0de98433cf91e1c2f6d8471aac8b20052d0691d97bcecab7815d161f19	2026-11-26 23:23:45.47115+00
22_search_online.sql	5738f28abf4b19a3aea57218a19d0a195abdefdc34ea5d6e5ae0820fdc640e3c	2026-11-26 23:23:45.475224+00
23_text_rank.sql	075ddb99c24f2df15211dcdec3ffe13ed9d3c46a75bbe4e6eef896747aeed953	2026-11-26 23:23:45.479483+00
25_template.sql	609f263973fae5e96b30386480dcf68b030520d09a9cf75890cca76a67d4dce2	2026-11-26 23:23:45.48409+00
30_embedding.sql	629b137bc71e359444c601c7de268f77c1d6b3d711b3159441babd00e2a55119	2026-11-26 23:23:45.486664+00
35_triggers.sql	a5007e2a0d820febfff933ba3ec5d9af4d6fc2516200d914747744a6e3c0845c	2026-11-26 23:23:45.49029+00
40_queue.sql	7e8712154405b7fa9858205190aff3323cb16e7b55dec364605efde46aa385f2	2026-11-26 23:23:45.492887+00
45_finish.sql	66f71a29eec858af336458e85228bb957d789b0d1ce528c25cd338fa7cb0bc32	2026-11-26 23:23:45.496673+00
47_reconcile.sql	c4da2b89880ab84019ea0b05be8691499628afa6f235961408cf2e3389b7342b	2026-11-26 23:23:45.499048+00
48_drift.sql	f099d770e5221f903eaf42ec502362fe0c1b1c05feea0511e74ae1a7d1d13054	2026-11-26 23:23:45.501134+00
50_aside.sql	025358197f999a927130a9775e1622ff34d7d1676de026a1b6fdbbc14dd1b1ce	2026-11-26 23:23:45.503483+00
52_merge.sql	1edc2973c69ccfd8337fd80248799633219a796c6d215e98dccb9c3f7f137393	2026-11-26 23:23:45.506433+00
54_ledger.sql	36fdbe1591533c2302e231e0aa467b0efd1c178e81f62f41fd7cba66640733ac	2026-11-26 23:23:45.510929+00
60_vector.sql	eee1c171abc7c0c35bccaadaeb4eebcd53b3995ef348d9ddcbe7ba0b7d97dd9a	2026-11-26 23:23:45.513358+00
61_vector_search.sql	bf7d9498bd1c517131ace539b0ad7cd2e81ffd9758afeb2076b401ecad284794	2026-11-26 23:23:45.515834+00
62_filters.sql	5c639a8aaa316ee375daec66af795458b6713c4efb9b82d497b87dc135d2df98	2026-11-26 23:23:45.519368+00
70_status.sql	e029a83363b49796bad2650d5da14c5a80339543a21797184642661406219d8f	2026-11-26 23:23:45.524216+00
80_roles.sql	6b68233fccbfd4e1fa31e8455088fe505126bbfb7b9d4a813b05e0d92d0f0293	2026-11-26 23:23:45.538475+00
\.


--
-- Data for Name: yoyo_lock; Type: TABLE DATA; Schema: pgpipe; Owner: -
--

COPY pgpipe.yoyo_lock (locked, ctime, pid) FROM stdin;
\.


--
-- Data for Name: article; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.article (id, title, body, language, search) FROM stdin;
1	Regenjacken	Eine Jacke für den Regen	german	'jack':3B 'reg':6B 'regenjack':1A
2	Rain jackets	A jacket for rainy days	english	'day':7B 'jacket':2A,4B 'rain':1A 'raini':6B
\.


--
-- Data for Name: product; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.product (id, text) FROM stdin;
0	a waterproof jacket, number 0
2	a waterproof jacket, number 2
3	a waterproof jacket, number 3
1	a changed jacket
\.


--
-- Data for Name: product_embedding; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.product_embedding (id, chunk, char_start, char_end, content_hash, model, vector) FROM stdin;
0	0	0	29	\\x935feabcebfd2ed280d1c62e85dc36cae74e71de2c88c3e245c627981c8d1ebf	fake	[0.5036666,0.32670262,0.79974085]
1	0	0	29	\\x5aacdc5cfbcece85d93a86b9670de6c82bbdfb879e7e9e7eae651e48b842d2b7	fake	[0.3084285,0.5863531,0.74904066]
2	0	0	29	\\x9f835bde65633dfd6572eeb8df263b8e33086fe8ffd1f3879c68b755fbb92e08	fake	[0.7051264,0.5817293,0.40544766]
3	0	0	29	\\xef304a8ae7c33adbd03209046d8484a533b02908d556e942d3b908a03f8868d5	fake	[0.9368569,0.19127496,0.2927678]
\.


--
-- Data for Name: product_embedding_filter; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.product_embedding_filter (id, chunk, vector, text) FROM stdin;
0	0	[0.50390625,0.32666016,0.7998047]	a waterproof jacket, number 0
2	0	[0.7050781,0.58154297,0.40551758]	a waterproof jacket, number 2
3	0	[0.9370117,0.19128418,0.2927246]	a waterproof jacket, number 3
1	0	[0.3083496,0.5864258,0.74902344]	a changed jacket
\.


--
-- Name: embedding_embedding_id_seq; Type: SEQUENCE SET; Schema: pgpipe; Owner: -
--

SELECT pg_catalog.setval('pgpipe.embedding_embedding_id_seq', 1, true);


--
-- Name: load_load_id_seq; Type: SEQUENCE SET; Schema: pgpipe; Owner: -
--

SELECT pg_catalog.setval('pgpipe.load_load_id_seq', 1, true);


--
-- Name: _yoyo_log _yoyo_log_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe._yoyo_log
    ADD CONSTRAINT _yoyo_log_pkey PRIMARY KEY (id);


--
-- Name: _yoyo_migration _yoyo_migration_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe._yoyo_migration
    ADD CONSTRAINT _yoyo_migration_pkey PRIMARY KEY (migration_hash);


--
-- Name: _yoyo_version _yoyo_version_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe._yoyo_version
    ADD CONSTRAINT _yoyo_version_pkey PRIMARY KEY (version);


--
-- Name: embedding embedding_filter_table_key; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.embedding
    ADD CONSTRAINT embedding_filter_table_key UNIQUE (filter_table);


--
-- Name: embedding embedding_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.embedding
    ADD CONSTRAINT embedding_pkey PRIMARY KEY (embedding_id);


--
-- Name: embedding embedding_store_key; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.embedding
    ADD CONSTRAINT embedding_store_key UNIQUE (store);


--
-- Name: embedding embedding_target_name_key; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.embedding
    ADD CONSTRAINT embedding_target_name_key UNIQUE (target, name);


--
-- Name: job job_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (embedding_id, key);


--
-- Name: lexeme lexeme_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.lexeme
    ADD CONSTRAINT lexeme_pkey PRIMARY KEY (target, lexeme);


--
-- Name: load_file load_file_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.load_file
    ADD CONSTRAINT load_file_pkey PRIMARY KEY (schema, entity, file, etag);


--
-- Name: load load_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.load
    ADD CONSTRAINT load_pkey PRIMARY KEY (load_id);


--
-- Name: reconciliation reconciliation_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.reconciliation
    ADD CONSTRAINT reconciliation_pkey PRIMARY KEY (embedding_id);


--
-- Name: rejected_row rejected_row_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.rejected_row
    ADD CONSTRAINT rejected_row_pkey PRIMARY KEY (schema, entity, file, etag, row_group, row_number);


--
-- Name: search_fill search_fill_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.search_fill
    ADD CONSTRAINT search_fill_pkey PRIMARY KEY (target);


--
-- Name: search search_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.search
    ADD CONSTRAINT search_pkey PRIMARY KEY (target);


--
-- Name: sql_file sql_file_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.sql_file
    ADD CONSTRAINT sql_file_pkey PRIMARY KEY (name);


--
-- Name: yoyo_lock yoyo_lock_pkey; Type: CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.yoyo_lock
    ADD CONSTRAINT yoyo_lock_pkey PRIMARY KEY (locked);


--
-- Name: article article_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.article
    ADD CONSTRAINT article_pkey PRIMARY KEY (id);


--
-- Name: product_embedding_filter product_embedding_filter_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_embedding_filter
    ADD CONSTRAINT product_embedding_filter_pkey PRIMARY KEY (id, chunk);


--
-- Name: product_embedding product_embedding_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_embedding
    ADD CONSTRAINT product_embedding_pkey PRIMARY KEY (id, chunk);


--
-- Name: product product_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product
    ADD CONSTRAINT product_pkey PRIMARY KEY (id);


--
-- Name: embedding_active; Type: INDEX; Schema: pgpipe; Owner: -
--

CREATE UNIQUE INDEX embedding_active ON pgpipe.embedding USING btree (target) WHERE active;


--
-- Name: finished_at; Type: INDEX; Schema: pgpipe; Owner: -
--

CREATE INDEX finished_at ON pgpipe.finished USING btree (finished_at);


--
-- Name: finished_stale; Type: INDEX; Schema: pgpipe; Owner: -
--

CREATE INDEX finished_stale ON pgpipe.finished USING btree (embedding_id) WHERE (stale > 0);


--
-- Name: job_ready; Type: INDEX; Schema: pgpipe; Owner: -
--

CREATE INDEX job_ready ON pgpipe.job USING btree (embedding_id, visible_at);


--
-- Name: load_entity; Type: INDEX; Schema: pgpipe; Owner: -
--

CREATE INDEX load_entity ON pgpipe.load USING btree (entity, schema, started_at DESC);


--
-- Name: product_embedding_content_hash_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_embedding_content_hash_idx ON public.product_embedding USING btree (content_hash) WHERE (chunk = 0);


--
-- Name: product_embedding_filter_text_id_chunk_vector_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_embedding_filter_text_id_chunk_vector_idx ON public.product_embedding_filter USING btree (text) INCLUDE (id, chunk, vector);


--
-- Name: product_search_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX product_search_idx ON public.product USING gin (search);


--
-- Name: embedding forget_jobs; Type: TRIGGER; Schema: pgpipe; Owner: -
--

CREATE TRIGGER forget_jobs AFTER DELETE ON pgpipe.embedding REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.forget_jobs();


--
-- Name: product pgpipe_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_delete AFTER DELETE ON public.product REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.enqueue_changes();


--
-- Name: product pgpipe_filters; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_filters AFTER UPDATE ON public.product REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.copy_filters();


--
-- Name: product_embedding pgpipe_filters_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_filters_insert AFTER INSERT ON public.product_embedding REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.copy_vectors();


--
-- Name: product_embedding pgpipe_filters_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_filters_update AFTER UPDATE ON public.product_embedding REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.copy_vectors();


--
-- Name: product pgpipe_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_insert AFTER INSERT ON public.product REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.enqueue_changes();


--
-- Name: product pgpipe_ledger; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_ledger AFTER TRUNCATE ON public.product FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.forget_files('product', 'public');


--
-- Name: product pgpipe_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_truncate AFTER TRUNCATE ON public.product FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.enqueue_changes();


--
-- Name: product pgpipe_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pgpipe_update AFTER UPDATE ON public.product REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pgpipe.enqueue_changes();


--
-- Name: article zzz_pgpipe_search_661363c2f7bf8; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER zzz_pgpipe_search_661363c2f7bf8 BEFORE INSERT OR UPDATE ON public.article FOR EACH ROW EXECUTE FUNCTION public.article_search_661363c2f7bf8('search');


--
-- Name: finished finished_embedding_id_fkey; Type: FK CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.finished
    ADD CONSTRAINT finished_embedding_id_fkey FOREIGN KEY (embedding_id) REFERENCES pgpipe.embedding(embedding_id) ON DELETE CASCADE;


--
-- Name: load_file load_file_load_id_fkey; Type: FK CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.load_file
    ADD CONSTRAINT load_file_load_id_fkey FOREIGN KEY (load_id) REFERENCES pgpipe.load(load_id);


--
-- Name: reconciliation reconciliation_embedding_id_fkey; Type: FK CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.reconciliation
    ADD CONSTRAINT reconciliation_embedding_id_fkey FOREIGN KEY (embedding_id) REFERENCES pgpipe.embedding(embedding_id) ON DELETE CASCADE;


--
-- Name: rejected_row rejected_row_load_id_fkey; Type: FK CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.rejected_row
    ADD CONSTRAINT rejected_row_load_id_fkey FOREIGN KEY (load_id) REFERENCES pgpipe.load(load_id);


--
-- Name: rejected_row rejected_row_schema_entity_file_etag_fkey; Type: FK CONSTRAINT; Schema: pgpipe; Owner: -
--

ALTER TABLE ONLY pgpipe.rejected_row
    ADD CONSTRAINT rejected_row_schema_entity_file_etag_fkey FOREIGN KEY (schema, entity, file, etag) REFERENCES pgpipe.load_file(schema, entity, file, etag) ON DELETE CASCADE;


--
-- Name: product_embedding_filter product_embedding_filter_id_chunk_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_embedding_filter
    ADD CONSTRAINT product_embedding_filter_id_chunk_fkey FOREIGN KEY (id, chunk) REFERENCES public.product_embedding(id, chunk) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: product_embedding product_embedding_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.product_embedding
    ADD CONSTRAINT product_embedding_id_fkey FOREIGN KEY (id) REFERENCES public.product(id) ON UPDATE CASCADE ON DELETE CASCADE;


--
-- Name: lexeme; Type: ROW SECURITY; Schema: pgpipe; Owner: -
--

ALTER TABLE pgpipe.lexeme ENABLE ROW LEVEL SECURITY;

--
-- Name: lexeme reader; Type: POLICY; Schema: pgpipe; Owner: -
--

CREATE POLICY reader ON pgpipe.lexeme USING ((has_any_column_privilege((target)::oid, 'select'::text) AND (NOT row_security_active((target)::oid)))) WITH CHECK (true);


--
-- Name: FUNCTION copy_filters(); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.copy_filters() FROM PUBLIC;


--
-- Name: FUNCTION copy_vectors(); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.copy_vectors() FROM PUBLIC;


--
-- Name: FUNCTION enqueue_changes(); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.enqueue_changes() FROM PUBLIC;


--
-- Name: FUNCTION forget_files(); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.forget_files() FROM PUBLIC;


--
-- Name: FUNCTION forget_jobs(); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.forget_jobs() FROM PUBLIC;


--
-- Name: FUNCTION note_fingerprint(embedding_id integer, fingerprint bytea); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.note_fingerprint(embedding_id integer, fingerprint bytea) FROM PUBLIC;


--
-- Name: FUNCTION refresh_stale_searches(); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.refresh_stale_searches() FROM PUBLIC;


--
-- Name: FUNCTION settle_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], OUT done integer[], OUT gone integer[], OUT stale integer, OUT locked integer[]); Type: ACL; Schema: pgpipe; Owner: -
--

REVOKE ALL ON FUNCTION pgpipe.settle_jobs(embedding_id integer, token uuid, worker text, keys jsonb[], gens bigint[], hashes bytea[], OUT done integer[], OUT gone integer[], OUT stale integer, OUT locked integer[]) FROM PUBLIC;


--
-- PostgreSQL database dump complete
--

\unrestrict oAzq2ZhItR9hC4oBWjUzJGXgrvWZoOvsdlPLFxK6vbSpk8RLp8obawKCOLIqZpH

