-- Keyword search: bare words are alternatives, "phrases" and -words are strict, BM25F ranks.

create or replace function pgpipe_internal.parse_query(
    languages regconfig[], query text, prefix boolean default false,
    out words text[], out counts int[], out prefixes boolean[], out required tsquery)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    strict_part constant text := '(^|\s)-("[^"]*"|\S+)';
    open_part constant text := '(?<!\S)([^\s"]*\w)\*(?!\S)';
    positive text := regexp_replace(query, strict_part, ' ', 'g');
    beginnings text[];
begin
    if prefix then  -- the word that is being typed: nothing behind it, and no quote around it
        positive := regexp_replace(positive, '(?<!\S)([^\s"]*\w)$', '\1*');
    end if;
    beginnings := array(
        select hit[1]
          from regexp_matches(regexp_replace(positive, '"[^"]*"', ' ', 'g'), open_part, 'g') hit);
    -- Rows of several languages: a word is asked for as each of them stores it.
    select coalesce(array_agg(word.lexeme order by word.lexeme), '{}'),
           coalesce(array_agg(word.times order by word.lexeme), '{}'),
           coalesce(array_agg(word.open order by word.lexeme), '{}')
      into words, counts, prefixes
      from (select found.lexeme, max(cardinality(found.positions)) as times,
                   bool_or(asked.open or found.lexeme collate "C"
                                         ~ ('^' || pgpipe_internal.unspaced() || '$')) as open
              from (select regexp_replace(positive, open_part, ' ', 'g') as part, false as open
                    union all select beginning, true from unnest(beginnings) beginning) asked
             cross join unnest(languages) language
             cross join lateral unnest(coalesce(
                   nullif(pgpipe_internal.question_words(language, asked.part), ''),
                   -- "th" goes on, stop word or not
                   case when asked.open then to_tsvector('pg_catalog.simple', asked.part)
                        else '' end)) found
             group by found.lexeme) word;
    required := pgpipe_internal.required_query(
        languages,
        array(select hit[1] from regexp_matches(positive, '"([^"]*)"', 'g') hit),
        array(select btrim(hit[2], '"') from regexp_matches(query, strict_part, 'g') hit));
end
$$;
comment on function pgpipe_internal.parse_query(regconfig[], text, boolean) is
    'The lexemes of a question in the given languages, how often each is asked for, and which are '
    'beginnings (`word*`, and with `prefix` the last word). `required` joins its "phrases" and '
    '-words; null if it has none.';

create or replace function pgpipe_internal.required_query(
    languages regconfig[], phrases text[], excluded text[])
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    required tsquery;
    asked record;
    parsed tsquery;
begin
    for asked in select part, true as wanted from unnest(phrases) part
                 union all select part, false from unnest(excluded) part loop
        select string_agg('(' || phrase.query::text || ')', ' | ')::tsquery into parsed
          from unnest(languages) language
         cross join lateral pgpipe_internal.phrase_query(language, asked.part) phrase (query)
         where numnode(phrase.query) > 0;
        parsed := case when asked.wanted then parsed else !!parsed end;
        required := coalesce(required && parsed, required, parsed);
    end loop;
    return required;
end
$$;
comment on function pgpipe_internal.required_query(regconfig[], text[], text[]) is
    'The tsquery that asks for all of the phrases and none of the excluded ones, in any of the '
    'languages. Null if they hold no word.';

create or replace function pgpipe_internal.word_query(word text, prefix boolean default false)
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select ('''' || replace(replace(word, '\', '\\'), '''', '''''')
            || case when prefix then ''':*' else '''' end)::tsquery
$$;
comment on function pgpipe_internal.word_query(text, boolean) is
    'The tsquery that asks for this lexeme, or for all that begin with it.';

create or replace function pgpipe_internal.any_word(words tsquery[])
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg('(' || word::text || ')', ' | ')::tsquery from unnest(words) word
$$;
comment on function pgpipe_internal.any_word(tsquery[]) is
    'The tsquery that asks for any of these; null for none.';

create or replace function pgpipe_internal.asked_words(
    languages regconfig[], query text, prefix boolean default false)
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.word_query(asked.word, asked.prefix)::text, ' | ')::tsquery
      from pgpipe_internal.parse_query(languages, query, prefix) parsed
     cross join unnest(parsed.words, parsed.prefixes) asked (word, prefix)
$$;
comment on function pgpipe_internal.asked_words(regconfig[], text, boolean) is
    'The tsquery that a passage is marked by: any word of the question; null if it has none.';

create or replace function pgpipe_internal.content_expression(target regclass, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(format('concat_ws(E''\n'', %s)', string_agg(
               format(case when pgpipe_internal.is_text_array(col.atttypid)
                           then 'nullif(array_to_string(%s, '', ''), '''')'
                           else 'nullif(concat(%s), '''')' end,
                      pgpipe_internal.column_list(array[col.attname], alias)),
               ', ' order by part.value, col.attnum)), 'null::text')
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
                              pgpipe_internal.unpaired(ts_headline(
                                  {language}, pgpipe_internal.paired({default}, shown.content),
                                  {words},
                                  'StartSel=<b>, StopSel=</b>, MaxWords=30, MinWords=12')),
                              shown.content)
                     from (select {content}) shown (content))$sql$,
               jsonb_build_object(
                   'language', pgpipe_internal.language_expression(
                       declared.target, declared.config, declared.language_column,
                       pgpipe_internal.column_list(array[declared.language_column], alias)),
                   'default', quote_literal(declared.config),
                   'content', pgpipe_internal.content_expression(declared.target, alias),
                   'words', words))
          from (select search.target,
                       pgpipe_internal.present_language_column(search) as language_column,
                       pgpipe_internal.declared_language(search.target, search.language) as config
                  from pgpipe.search where search.target = headline_expression.target) declared
        ), 'null::text')
$$;
comment on function pgpipe_internal.headline_expression(regclass, text, text) is
    'SQL text: the part of the row `alias` that answers the question, of the columns that the '
    'caller may read. `words`, a tsquery expression, are between <b> and </b>.';
