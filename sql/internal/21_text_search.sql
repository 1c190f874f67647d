-- Keyword search: bare words are alternatives, "phrases" and -words are strict, BM25F ranks.

drop function if exists pgpipe_internal.parse_query(regconfig[], text, boolean);
drop function if exists pgpipe_internal.required_query(regconfig[], text[], text[]);
drop function if exists pgpipe_internal.asked_words(regconfig[], text, boolean);

create or replace function pgpipe_internal.split_question(
    query text, prefix boolean, out bare text, out beginnings text[], out phrases text[],
    out excluded text[])
    immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    strict_part constant text := '(^|\s)-("[^"]*"|\S+)';
    open_part constant text := '(?<!\S)([^\s"]*\w)\*(?!\S)';
    positive text := regexp_replace(query, strict_part, ' ', 'g');
begin
    if prefix then  -- the word that is being typed: nothing behind it, and no quote around it
        positive := regexp_replace(positive, '(?<!\S)([^\s"]*\w)\+?$', '\1*');
    end if;
    phrases := array(select hit[1] from regexp_matches(positive, '"([^"]*)"', 'g') hit);
    excluded := array(select btrim(hit[2], '"') from regexp_matches(query, strict_part, 'g') hit);
    beginnings := array(
        select hit[1]
          from regexp_matches(regexp_replace(positive, '"[^"]*"', ' ', 'g'), open_part, 'g') hit);
    bare := regexp_replace(positive, open_part, ' ', 'g');
    -- The words of a phrase rank too, but not the beginnings in it: they are required.
    bare := regexp_replace(bare, '\S*\w\*(?![^\s"])', ' ', 'g');
end
$$;
comment on function pgpipe_internal.split_question(text, boolean) is
    'The parts of a question: what is asked for in bare words, beginnings (`word*`, and with '
    '`prefix` the last word), "phrases" and -words.';

create or replace function pgpipe_internal.other_forms(part text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select concat_ws(' ', part,
        (select string_agg(hit[1] || ' ' || hit[2], ' ')  -- 5kg
           from regexp_matches(part, '(?<![\w.,/-])(\d+)([[:alpha:]]{1,4})(?!\w)', 'g') hit),
        (select string_agg(hit[1] || hit[2], ' ')  -- 5 kg
           from regexp_matches(part, '(?<![\w.,/-])(\d+) ([[:alpha:]]{1,4})(?!\w)', 'g') hit),
        (select string_agg(hit[1], ' ')  -- v1.2
           from regexp_matches(part, '(?<!\S)[vV](\d+(?:\.\d+)+)(?!\S)', 'g') hit),
        (select string_agg('v' || hit[1], ' ')  -- 1.2.3
           from regexp_matches(part, '(?<!\S)(\d+(?:\.\d+)+)(?!\S)', 'g') hit))
$$;
comment on function pgpipe_internal.other_forms(text) is
    'Bare words, and behind them how a number with its unit, or a version, may be written too.';

create or replace function pgpipe_internal.asked_lexemes(
    declared pgpipe.search, languages regconfig[], bare text, beginnings text[],
    out lexeme text, out times int, out open boolean)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Rows of several languages: a word is asked for as each of them stores it.
    with found as (
        select word.lexeme, cardinality(word.positions) as times,
               word.lexeme collate "C" ~ ('^' || pgpipe_internal.unspaced() || '$') as open
          from unnest(languages) language
         cross join unnest(pgpipe_internal.question_words(
               language, pgpipe_internal.other_forms(bare), declared.version)) word
        union all
        select word.lexeme, 1, word.open from unnest(languages) language
         cross join unnest(beginnings) beginning
         cross join pgpipe_internal.beginning_words(declared, language, beginning) word
    ), signed as (
        -- A number behind a joint is stored with a minus. It makes a code, so it counts double.
        select found.lexeme, found.open,
               case when found.lexeme ~ '^-[0-9]+$' then 2 else 1 end * found.times as times
          from found
        union all
        select case when found.lexeme ~ '^-' then substr(found.lexeme, 2)
                    else '-' || found.lexeme end, found.open, found.times
          from found where found.lexeme ~ '^-?[0-9]+$'
    )
    select signed.lexeme, max(signed.times), bool_or(signed.open)
      from signed group by signed.lexeme
$$;
comment on function pgpipe_internal.asked_lexemes(pgpipe.search, regconfig[], text, text[]) is
    'The lexemes of bare words and of beginnings, how often each is asked for, and which go on.';

create or replace function pgpipe_internal.parse_query(
    target regclass, query text, prefix boolean default false,
    out words text[], out counts int[], out prefixes boolean[], out required tsquery)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared constant pgpipe.search := pgpipe_internal.require_search(target);
    languages constant regconfig[] := pgpipe_internal.search_languages(target);
    question constant record := pgpipe_internal.split_question(query, prefix);
begin
    select coalesce(array_agg(word.lexeme order by word.lexeme), '{}'),
           coalesce(array_agg(word.times order by word.lexeme), '{}'),
           coalesce(array_agg(word.open order by word.lexeme), '{}')
      into words, counts, prefixes
      from pgpipe_internal.asked_lexemes(
               declared, languages, question.bare, question.beginnings) word;
    required := pgpipe_internal.required_query(
        declared, languages, question.phrases, question.excluded);
end
$$;
comment on function pgpipe_internal.parse_query(regclass, text, boolean) is
    'The lexemes of a question to a target, how often each is asked for, and which are beginnings '
    '(`word*`, and with `prefix` the last word). `required` joins its "phrases" and -words; null '
    'if it has none.';

create or replace function pgpipe_internal.required_query(
    declared pgpipe.search, languages regconfig[], phrases text[], excluded text[])
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- A phrase of several words stands within one column: all its words have one weight.
    weights constant text[] := array(
        select distinct part.value from jsonb_each_text(declared.weights) part order by 1);
    required tsquery;
    asked record;
    parsed tsquery;
begin
    for asked in select part, true as wanted from unnest(phrases) part
                 union all select part, false from unnest(excluded) part loop
        select string_agg('(' || placed.query::text || ')', ' | ')::tsquery into parsed
          from unnest(languages) language
         cross join lateral pgpipe_internal.phrase_query(
               declared, language, asked.part) phrase (query)
         cross join lateral (
               select phrase.query where cardinality(weights) = 1 or phrase.query::text !~ '<[-0-9]'
               union all
               select pgpipe_internal.in_column_of(phrase.query, weight) from unnest(weights) weight
                where cardinality(weights) > 1 and phrase.query::text ~ '<[-0-9]') placed (query)
         where numnode(phrase.query) > 0;
        parsed := case when asked.wanted then parsed else !!parsed end;
        required := coalesce(required && parsed, required, parsed);
    end loop;
    return required;
end
$$;
comment on function pgpipe_internal.required_query(
    pgpipe.search, regconfig[], text[], text[]) is
    'The tsquery that asks for all of the phrases and none of the excluded ones, in any of the '
    'languages, each within one column. Null if they hold no word.';

create or replace function pgpipe_internal.any_word(words tsquery[])
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg('(' || word::text || ')', ' | ')::tsquery from unnest(words) word
$$;
comment on function pgpipe_internal.any_word(tsquery[]) is
    'The tsquery that asks for any of these; null for none.';

create or replace function pgpipe_internal.asked_words(
    target regclass, query text, prefix boolean default false)
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.word_query(asked.word, asked.prefix)::text, ' | ')::tsquery
      from pgpipe_internal.parse_query(target, query, prefix) parsed
     cross join unnest(parsed.words, parsed.prefixes) asked (word, prefix)
$$;
comment on function pgpipe_internal.asked_words(regclass, text, boolean) is
    'The tsquery that a passage is marked by: any word of the question; null if it has none.';

create or replace function pgpipe_internal.content_expression(target regclass, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce('concat_ws(E''\n'', ' || string_agg(
               format(case when pgpipe_internal.is_text_array(col.atttypid)
                           then 'nullif(array_to_string(%s, '', ''), '''')'
                           else 'nullif(concat(%s), '''')' end,
                      pgpipe_internal.column_list(array[col.attname], alias)),
               ', ' order by part.value, col.attnum) || ')', 'null::text')
      from pgpipe.search
     cross join lateral jsonb_each_text(search.weights) part
      join pg_catalog.pg_attribute col
        on col.attrelid = search.target and col.attname = part.key
     where search.target = content_expression.target
       and has_column_privilege(col.attrelid, col.attnum, 'select')
$$;
comment on function pgpipe_internal.content_expression(regclass, text) is
    'SQL text: the text of the row `alias` that is searched, of the columns that the caller may '
    'read, those of the highest weight first. Null if there are none.';

create or replace function pgpipe_internal.headline_expression(
    target regclass, alias text, words text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce((
        select pgpipe_internal.fill($sql$(
                   select pgpipe_internal.with_cut_ends(
                              pgpipe_internal.unwritten(ts_headline(
                                  {language}, shown.content, {words},
                                  'StartSel=<b>, StopSel=</b>, MaxWords=30, MinWords=12')),
                              pgpipe_internal.unwritten(shown.content))
                     from (select pgpipe_internal.written(
                                      {default}, {content}, {version}, true))
                          shown (content))$sql$,
               jsonb_build_object(
                   'language', pgpipe_internal.language_expression(
                       declared.target, declared.config, declared.language_column,
                       pgpipe_internal.column_list(array[declared.language_column], alias)),
                   'default', quote_literal(declared.config), 'version', declared.version,
                   'content', pgpipe_internal.content_expression(declared.target, alias),
                   'words', words))
          from (select search.target, search.version,
                       pgpipe_internal.present_language_column(search) as language_column,
                       pgpipe_internal.declared_language(search.target, search.language) as config
                  from pgpipe.search where search.target = headline_expression.target) declared
        ), 'null::text')
$$;
comment on function pgpipe_internal.headline_expression(regclass, text, text) is
    'SQL text: the part of the row `alias` that answers the question, of the columns that the '
    'caller may read. `words`, a tsquery expression, are between <b> and </b>.';
