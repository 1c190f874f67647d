-- Rows in which common words are strong: what an index of impacts is asked for.
-- A row has a score by its strong words if one of them brings it alone, or if two bring half of it
-- each, or three a third each.

create or replace function pgpipe_internal.ways_to_match(words int)
    returns table (parts int, way int, part int, word int)
    immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Words are divided into one group, two, or three: a word of each group must be strong.
    -- Of three words any two will do. More groups find little more, and take twice the time.
    select divided.parts, 0, word.n % divided.parts, word.n
      from generate_series(1, least(words, 3)) divided (parts)
     cross join generate_series(1, words) word (n)
     where (words, divided.parts) <> (3, 2)
    union all
    select 2, absent.n, word.n, word.n
      from generate_series(1, 3) absent (n) cross join generate_series(1, 3) word (n)
     where words = 3 and word.n <> absent.n
$$;
comment on function pgpipe_internal.ways_to_match(int) is
    'The ways in which a row may be strong in some of the words of a question: in each of its '
    '`parts`, one of these words has to be strong.';

create or replace function pgpipe_internal.strong_words(idf float8[], wanted float8)
    returns table (parts int, way int, part int, word int, step int)
    immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- A step stands for the middle of its values x = 1.5 ^ (step - 0.5), and brings x / (1 + x).
    return query
    select ways.parts, ways.way, ways.part, ways.word,
           greatest(1, ceil(0.5 + ln(needed.share / (1 - needed.share)) / ln(1.5)))::int
      from pgpipe_internal.ways_to_match(cardinality(idf)) ways
     cross join lateral (select wanted / ways.parts / idf[ways.word]) needed (share)
     where needed.share between 1e-6 and 0.97;
end
$$;
comment on function pgpipe_internal.strong_words(float8[], float8) is
    'For each way to reach the `wanted` score, which words of which idf may bring their part of '
    'it, and from which step on.';

create or replace function pgpipe_internal.strong_rows(
    idf float8[], steps float8[], total float8, wanted float8)
    returns float8  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- Words of one question meet in a row 1.5 times as often as by chance.
    return (
        with part as (
            select strong.parts, strong.way, 1.5 * (1 - exp(sum(ln(greatest(
                       1e-9, 1 - steps[strong.word][least(strong.step, 10)] / total))))) as share
              from pgpipe_internal.strong_words(idf, wanted) strong
             where strong.step <= 10
             group by strong.parts, strong.way, strong.part
        ), way as (
            select exp(sum(ln(greatest(1e-9, part.share)))) / 1.5 as share
              from part group by part.parts, part.way having count(*) = part.parts
        )
        select coalesce(total * sum(way.share), 0) from way);
end
$$;
comment on function pgpipe_internal.strong_rows(float8[], float8[], float8, float8) is
    'About how many rows have the `wanted` score by their strong words. `steps` says for each '
    'word in how many of `total` documents it has each step at least.';

create or replace function pgpipe_internal.known_steps(
    target regclass, lexemes text[], held float8[])
    returns float8[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- What is not counted is taken to be like most words.
    select array_agg(array(
               select coalesce(known.steps[step] * word.held / known.documents,
                               word.held * 0.35 * 0.45 ^ (step - 1))
                 from generate_series(1, 10) step) order by word.place)
      from unnest(lexemes, held) with ordinality word (lexeme, held, place)
      left join pgpipe.lexeme known
        on known.target = known_steps.target and known.lexeme = word.lexeme
$$;
comment on function pgpipe_internal.known_steps(regclass, text[], float8[]) is
    'In how many documents each word has each step at least.';

create or replace function pgpipe_internal.score_of_rows(
    idf float8[], steps float8[], total float8, rows float8)
    returns float8  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    most constant float8 := (select sum(word.idf) from unnest(idf) word (idf));
    least_enough int := 0;  -- by halves among 64 scores, each a fourteenth below the last
    enough int := 63;
begin
    while least_enough < enough loop
        if pgpipe_internal.strong_rows(
               idf, steps, total, most * 0.93 ^ ((least_enough + enough) / 2)) >= rows then
            enough := (least_enough + enough) / 2;
        else
            least_enough := (least_enough + enough) / 2 + 1;
        end if;
    end loop;
    return most * 0.93 ^ enough;
end
$$;
comment on function pgpipe_internal.score_of_rows(float8[], float8[], float8, float8) is
    'The highest score that about so many rows reach by their strong words.';

create or replace function pgpipe_internal.strong_condition(
    impacts text, lexemes text[], idf float8[], wanted float8)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with part as (
        select strong.parts, strong.way, pgpipe_internal.any_word(array_agg(
                   pgpipe_internal.word_query(
                       lexemes[strong.word] || chr(31) || chr(96 + enough.step)))) as words
          from pgpipe_internal.strong_words(idf, wanted) strong
         cross join generate_series(strong.step, 10) enough (step)
         group by strong.parts, strong.way, strong.part
    ), way as (
        select string_agg(format('%s @@ %L::tsquery', impacts, part.words), ' and ') as condition
          from part group by part.parts, part.way having count(*) = part.parts
    )
    select coalesce(string_agg(format('(%s)', way.condition), ' or '), 'false') from way
$$;
comment on function pgpipe_internal.strong_condition(text, text[], float8[], float8) is
    'SQL text: the rows that have a score by their strong words, as an index of impacts finds '
    'them.';

create or replace function pgpipe_internal.strongest_rows(
    declared pgpipe.search, asked record, rows float8)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
    impacts constant text := pgpipe_internal.impacts_index(declared.target, declared.column_name);
    rare constant tsquery[] := array(
        select word.probe
          from (select known.*, sum(known.documents) over (order by known.place) as together
                  from unnest(asked.probes, asked.documents)
                       with ordinality known (probe, documents, place)) word
         where word.together <= limits.whole_limit order by word.place);
    common record;
    condition text;
begin
    select array_agg(word.lexeme order by word.place) as lexemes,
           array_agg(word.idf order by word.place) as idf,
           array_agg(word.held order by word.place) as held into common
      from (select * from unnest(asked.lexemes, asked.words, asked.idf, asked.held)
                   with ordinality known (lexeme, query, idf, held, place)
             where known.query <> all (rare)
             order by known.place limit limits.common_words) word;
    if impacts is null or row_security_active(declared.target) then
        -- Not what was asked for, but all of it together: the best that the index of words can do.
        condition := format('row.%I @@ %L', declared.column_name, (
            select string_agg(format('(%s)', probe), ' & ') from unnest(asked.probes) probe
             where probe <> all (rare)));
    else
        condition := pgpipe_internal.strong_condition(
            impacts, common.lexemes, common.idf, pgpipe_internal.score_of_rows(
                common.idf, pgpipe_internal.known_steps(
                    declared.target, common.lexemes, common.held), asked.total,
                rows * ('{0.4,1,1,2}'::float8[])[least(cardinality(common.idf), 4)]));
    end if;
    return concat_ws(' or ', case when cardinality(rare) > 0 then format(
        'row.%I @@ %L', declared.column_name, pgpipe_internal.any_word(rare)) end, condition);
end
$$;
comment on function pgpipe_internal.strongest_rows(pgpipe.search, record, float8) is
    'SQL text: the rows with a rare word of a question, and about so many `rows` in which its '
    'common words are strongest: 0.4 of that for one word, whose steps are its ranking, and twice '
    'as many for more than three. `asked` is of weigh_words.';

create or replace function pgpipe_internal.rows_to_rank(
    declared pgpipe.search, condition text, asked record,
    out strongest text, out every text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    limits constant record := pgpipe_internal.ranking();
    any_word constant tsquery := pgpipe_internal.any_word(asked.probes);
    -- A row with a phrase holds words of the question.
    matching constant tsquery := case
        when asked.required is null then any_word
        when ''::tsvector @@ asked.required then any_word && asked.required
        else asked.required end;
    holding constant float8 := (select sum(documents) from unnest(asked.documents) documents);
    passing record;
begin
    every := format('row.%I @@ %L and %s', declared.column_name, matching, condition);
    if holding <= limits.whole_limit or asked.total <= limits.match_limit then
        return;
    end if;
    passing := pgpipe_internal.estimate(declared.target, condition);
    if condition <> 'true' and passing.rows <= limits.match_limit
       and passing.cost <= limits.filter_cost then
        -- The function in place of the operator has no index: rows that the filter leaves are not
        -- looked for in long lists of other rows.
        every := format('pg_catalog.ts_match_vq(row.%I, %L) and %s', declared.column_name,
                        matching, condition);
        return;
    end if;
    strongest := format(
        '(%s) and %s', pgpipe_internal.strongest_rows(
            declared, asked, limits.strong_rows
                             * least(20, asked.total / greatest(passing.rows, 1))),
        case when asked.required is null then condition
             else format('row.%I @@ %L and %s', declared.column_name, asked.required, condition)
             end);
end
$$;
comment on function pgpipe_internal.rows_to_rank(pgpipe.search, text, record) is
    'SQL text, twice: the rows of a question that are to be ranked, and all that may follow them. '
    'The first is null if all of them are read. `asked` is of weigh_words.';
