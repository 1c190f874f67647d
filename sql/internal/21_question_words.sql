-- The words of a question, read as the rows are: whole words, beginnings of words, phrases.

create or replace function pgpipe_internal.word_query(word text, prefix boolean default false)
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select ('''' || replace(replace(word, '\', '\\'), '''', '''''')
            || case when prefix then ''':*' else '''' end)::tsquery
$$;
comment on function pgpipe_internal.word_query(text, boolean) is
    'The tsquery that asks for this lexeme, or for all that begin with it.';

create or replace function pgpipe_internal.asked_text(part text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select left(part, case when octet_length(left(part, 290000)) <= 290000 then 290000
                           else 72500 end)
$$;
comment on function pgpipe_internal.asked_text(text) is
    'As much of a question as has words that fit into a tsvector: at most 290,000 bytes.';

drop function if exists pgpipe_internal.question_words(regconfig, text);
drop function if exists pgpipe_internal.phrase_query(regconfig, text);

create or replace function pgpipe_internal.with_capitals(part text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select regexp_replace(replace(part, 'c#', 'C#'), '\.net\M', '.NET', 'g')
$$;
comment on function pgpipe_internal.with_capitals(text) is
    'A question with `C#` and `.NET` as texts have them.';

create or replace function pgpipe_internal.question_words(
    language regconfig, part text, version int default pgpipe_internal.search_version())
    returns tsvector  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The last character of a run is in its last pair.
    select to_tsvector(language, regexp_replace(
               pgpipe_internal.written(language, pgpipe_internal.asked_text(
                   pgpipe_internal.with_capitals(part)), version),
               '(' || one || ')\x1f\1(?!' || one || ')', '\1', 'g'))
      from pgpipe_internal.unspaced() one
$$;
comment on function pgpipe_internal.question_words(regconfig, text, int) is
    'The words of a question in a language, for search columns of a version. A single character of '
    'a script without blanks is the beginning of one.';

create or replace function pgpipe_internal.stemmer_of(language regconfig)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select substring(dictionary.dictinitoption from '(?i)\ylanguage\s*=\s*''?(\w+)')
      from pg_catalog.pg_ts_config_map map
      join pg_catalog.pg_ts_dict dictionary on dictionary.oid = map.mapdict
      join pg_catalog.pg_ts_template template on template.oid = dictionary.dicttemplate
     -- Of a script that is not Latin these are words of the language, not of English.
     where map.mapcfg = language and template.tmplname = 'snowball'
     order by map.maptokentype = 2 desc, map.mapseqno limit 1
$$;
comment on function pgpipe_internal.stemmer_of(regconfig) is
    'The name of the stemmer that a configuration uses for words; null if it uses none.';

create or replace function pgpipe_internal.longer_forms(
    target regclass, language regconfig, part text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    most constant int := 500;
    known text[] := '{}';
begin
    if part ~ '^\w+$' and pgpipe_internal.shows_words(target) then
        known := array(
            select word.word from pgpipe.word
             where word.target = longer_forms.target and word.word >= lower(part)
               and word.word < pgpipe_internal.last_beginning(lower(part))
             order by word.word limit most);
    end if;
    -- New rows may hold a word that was not counted: then it may end as words do.
    if cardinality(known) not between 1 and most - 1 then
        known := array(select part || ending from unnest(''::text || pgpipe_internal.word_endings(
                           pgpipe_internal.stemmer_of(language))) ending);
    end if;
    return array_to_string(known || part, ' ');
end
$$;
comment on function pgpipe_internal.longer_forms(regclass, regconfig, text) is
    'Words that begin with `part`: those that were counted, else as the language ends its words.';

create or replace function pgpipe_internal.beginning_words(
    declared pgpipe.search, language regconfig, part text, out lexeme text, out open boolean)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- No stemmer takes such an end away, and no number is one.
    ends constant text[] := array['qqqq'] || case when part ~ '\d$' then '7777' end;
begin
    if part is null or length(part) > 100
       or right(part, 1) collate "C" ~ pgpipe_internal.unspaced() then
        return query
        select found.lexeme, true
          from unnest(pgpipe_internal.question_words(language, part, declared.version)) found;
        return;
    end if;
    return query
    with opened as (  -- what the word begins with, before and after accents and the like are gone
        select distinct left(found.lexeme, -4) as lexeme
          from unnest(ends) added
         cross join (values (language), ('pg_catalog.simple')) reader (config)
         cross join unnest(pgpipe_internal.question_words(
               reader.config, part || added, declared.version)) found
         where right(found.lexeme, 4) = added
    )
    select opened.lexeme, true from opened where opened.lexeme <> ''
    union all
    -- Rows hold stems: those of all words that go on from here, and those before the last joint.
    select distinct stem.lexeme, false
      from unnest(pgpipe_internal.question_words(language, pgpipe_internal.longer_forms(
               declared.target, language, part), declared.version)) stem
     where not exists (select from opened
                        where opened.lexeme <> '' and starts_with(stem.lexeme, opened.lexeme));
end
$$;
comment on function pgpipe_internal.beginning_words(pgpipe.search, regconfig, text) is
    'What the rows hold whose words begin with `part`. Those that are open go on. The others are '
    'stems shorter than what was typed, such as `organ` for `organizati`.';

create or replace function pgpipe_internal.beginning_query(
    declared pgpipe.search, language regconfig, part text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select '(' || string_agg(pgpipe_internal.word_query(word.lexeme, word.open)::text, ' | '
                             order by word.open desc, word.lexeme) || ')'
      from pgpipe_internal.beginning_words(declared, language, part) word
$$;
comment on function pgpipe_internal.beginning_query(pgpipe.search, regconfig, text) is
    'The text of the tsquery that asks for any word that begins so; null if there is none.';

create or replace function pgpipe_internal.phrase_query(
    declared pgpipe.search, language regconfig, phrase text)
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    one constant text := pgpipe_internal.unspaced();
    -- word* keeps its end through the parser.
    marked constant text := regexp_replace(pgpipe_internal.asked_text(phrase),
                                           '(\w)\*(?!\S)', '\1qqqq', 'g');
    -- Behind the last pair, or single character, anything may follow; what is neither such a
    -- character nor \w asks for nothing.
    asked text := regexp_replace(
        phraseto_tsquery(language, regexp_replace(
            pgpipe_internal.written(
                language, pgpipe_internal.with_capitals(marked), declared.version),
            '(' || one || ')\x1f\1[^\w' || substr(one, 2) || '*$', '\1'))::text,
        '(''' || one || ''')$', '\1:*');
    open text;
begin
    if marked <> phrase then
        for open in
            select distinct hit[1] from regexp_matches(asked, '''([^'']*)qqqq''', 'g') hit
        loop
            asked := replace(asked, quote_literal(open || 'qqqq'), coalesce(
                pgpipe_internal.beginning_query(declared, language, open), quote_literal(open)));
        end loop;
    end if;
    return asked::tsquery;
end
$$;
comment on function pgpipe_internal.phrase_query(pgpipe.search, regconfig, text) is
    'The tsquery that asks for a phrase in a language. `word*` in it is a beginning.';

create or replace function pgpipe_internal.in_column_of(phrase tsquery, weight text)
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select regexp_replace(phrase::text, '(''(?:[^'']|'''')*''):?(\*?)', '\1:\2' || weight,
                          'g')::tsquery
$$;
comment on function pgpipe_internal.in_column_of(tsquery, text) is
    'A phrase that all stands in columns of one weight.';
