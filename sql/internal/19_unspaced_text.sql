-- Scripts without blanks between words: their text is indexed as overlapping pairs.
-- These are Chinese, Japanese, and Korean for its endings. 'x数据库' becomes the words
-- x 数据 据库 库: each place of a run begins exactly one word. So any two characters are one word,
-- more are a phrase of such, and one is the beginning of a word. Parts are set off by chr(31), not
-- a blank, so that passages can be put together again.

create or replace function pgpipe_internal.unspaced()
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Iteration marks, kana without the middle dot, bopomofo, Han, Hangul, kana of half width.
    select '[\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff'
           '\uff66-\uff9f\U00020000-\U0003ffff]'
$$;
comment on function pgpipe_internal.unspaced() is
    'A regular expression: one character of a script without blanks between words.';

create or replace function pgpipe_internal.paired_expression(
    language regconfig, value text, among int default 1)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Functions of PostgreSQL only: this stands in the target's own definition, and runs as the
    -- role that writes a row. To tell that a text is ASCII costs a hundredth of parsing it.
    -- A tsvector holds 1 MB, and a row that would need more could not be written: what is too long
    -- for it is cut. A character takes 3.5 bytes of it at most in texts with blanks, 12 in others;
    -- in a book, whose words come again, less than one and 5.
    select case when config.cfgparser <> own.parser  -- it knows such scripts itself
           then format('coalesce(left(%s, %s), '''')', value, least(80000, 160000 / among))
           else pgpipe_internal.fill($sql$case
               when octet_length({value}) > char_length({value}) and {value} collate "C" ~ {one}
               then regexp_replace(
                        regexp_replace(
                            regexp_replace(left({value}, {unspaced_most}) collate "C",
                                           {run}, chr(31) || '\1' || chr(31), 'g'),
                            {each}, '\1' || chr(31) || '\1', 'g'),
                        chr(31) || {each} || chr(31) || {ahead}, chr(31), 'g')
               when octet_length({value}) > {most} then left({value}, {most})
               else coalesce({value}, '') end$sql$, jsonb_build_object(
               'value', value, 'one', quote_literal(one), 'run', quote_literal('(' || one || '+)'),
               'each', quote_literal('(' || one || ')'),
               'ahead', quote_literal('(?=' || one || ')'),
               'most', least(300000, 600000 / among),
               'unspaced_most', least(80000, 160000 / among))) end
      from pg_catalog.pg_ts_config config
     cross join pgpipe_internal.unspaced() one
     cross join (select parser.oid as parser from pg_catalog.pg_ts_parser parser
                  where parser.prsname = 'default'
                    and parser.prsnamespace = 'pg_catalog'::regnamespace) own
     where config.oid = language
$$;
comment on function pgpipe_internal.paired_expression(regconfig, text, int) is
    'SQL text: the SQL expression `value` as it is given to the parser of a language. '
    'PostgreSQL''s own parser gets runs of characters without blanks as overlapping pairs. Of a '
    'long text its first 300,000 characters (80,000 in such a script), less if a search is '
    '`among` more than two columns.';

create or replace function pgpipe_internal.paired(language regconfig, value text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    one constant text := pgpipe_internal.unspaced();
begin
    -- The values of paired_expression, computed here: to compose and run it took longer.
    if octet_length(value) = char_length(value) then
        return left(value, 600000);  -- as much as is searched of it
    elsif not exists (select from pg_catalog.pg_ts_config config
                        join pg_catalog.pg_ts_parser parser on parser.oid = config.cfgparser
                       where config.oid = language and parser.prsname = 'default'
                         and parser.prsnamespace = 'pg_catalog'::regnamespace) then
        return coalesce(left(value, 80000), '');
    elsif value collate "C" ~ one then
        value := regexp_replace(left(value, 80000) collate "C",
                                '(' || one || '+)', chr(31) || '\1' || chr(31), 'g');
        value := regexp_replace(value collate "C",
                                '(' || one || ')', '\1' || chr(31) || '\1', 'g');
        return regexp_replace(value collate "C",
                              chr(31) || '(' || one || ')' || chr(31) || '(?=' || one || ')',
                              chr(31), 'g');
    end if;
    return coalesce(left(value, 300000), '');
end
$$;
comment on function pgpipe_internal.paired(regconfig, text) is
    'A text as it is given to the parser of a language; see paired_expression.';

create or replace function pgpipe_internal.unpaired(passage text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A character on both sides of a separator was there once; where one side is marked, it is.
    select replace(replace(regexp_replace(regexp_replace(
               passage collate "C", '(.)</b>\x1f<b>\1', '\1', 'g'),
               '(.)(</b>|)\x1f(<b>|)\1', '\3\1\2', 'g'),
               chr(31), ''), '</b><b>', '')
$$;
comment on function pgpipe_internal.unpaired(text) is
    'A passage of a paired text as it was before, with what is marked between <b> and </b>.';

create or replace function pgpipe_internal.question_words(language regconfig, part text)
    returns tsvector  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The last character of a run is in its last pair.
    select to_tsvector(language, regexp_replace(
               pgpipe_internal.paired(language, part),
               '(' || one || ')\x1f\1(?!' || one || ')', '\1', 'g'))
      from pgpipe_internal.unspaced() one
$$;
comment on function pgpipe_internal.question_words(regconfig, text) is
    'The words of a question in a language. A single character of a script without blanks is the '
    'beginning of one.';

create or replace function pgpipe_internal.phrase_query(language regconfig, phrase text)
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Behind the last pair, or single character, anything may follow; what is neither such a
    -- character nor \w asks for nothing.
    select regexp_replace(
               phraseto_tsquery(language, regexp_replace(
                   pgpipe_internal.paired(language, phrase),
                   '(' || one || ')\x1f\1[^\w' || substr(one, 2) || '*$', '\1'))::text,
               '(''' || one || ''')$', '\1:*')::tsquery
      from pgpipe_internal.unspaced() one
$$;
comment on function pgpipe_internal.phrase_query(regconfig, text) is
    'The tsquery that asks for a phrase in a language.';
