-- Scripts without blanks between words (Chinese, Japanese, Korean for its endings): their text is indexed as overlapping pairs.
-- 'x数据库' becomes the words x 数据 据库 库: each place of a run begins exactly one word, so that any two characters are one word,
-- more are a phrase of such, and one is the beginning of a word. Parts are set off by chr(31), not a blank, so that passages can be
-- put together again.

create or replace function pgpipe_internal.unspaced()
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Iteration marks, kana without the middle dot, bopomofo, Han, Hangul, kana of half width.
    select '[\u3005-\u3007\u3041-\u30fa\u30fc-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]'
$$;
comment on function pgpipe_internal.unspaced() is 'A regular expression: one character of a script without blanks between words.';

create or replace function pgpipe_internal.paired_expression(language regconfig, value text, among int default 1)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Functions of PostgreSQL only: this stands in the target's own definition, and runs as the role that writes a row. To tell
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
      from pg_catalog.pg_ts_config c cross join pgpipe_internal.unspaced() u (one) where c.oid = language
$$;
comment on function pgpipe_internal.paired_expression(regconfig, text, int) is
    'SQL text: the SQL expression `value` as it is given to the parser of a language. '
    'PostgreSQL''s own parser gets runs of characters without blanks as overlapping pairs. Of a '
    'long text its first 300,000 characters (80,000 in such a script), less where a search is '
    '`among` more than two columns.';

create or replace function pgpipe_internal.paired(language regconfig, value text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    result text;
begin
    if octet_length(value) = char_length(value) then
        return left(value, 600000);  -- as much as is searched of it; see paired_expression
    end if;
    execute 'select ' || pgpipe_internal.paired_expression(language, '$1') into result using value;
    return result;
end
$$;
comment on function pgpipe_internal.paired(regconfig, text) is 'A text as it is given to the parser of a language; see paired_expression.';

create or replace function pgpipe_internal.unpaired(passage text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A character on both sides of a separator was there once; where one side is marked, it is.
    select replace(replace(regexp_replace(regexp_replace(passage collate "C", '(.)</b>\x1f<b>\1', '\1', 'g'),
                                          '(.)(</b>|)\x1f(<b>|)\1', '\3\1\2', 'g'),
                           chr(31), ''), '</b><b>', '')
$$;
comment on function pgpipe_internal.unpaired(text) is 'A passage of a paired text as it was before, with what is marked between <b> and </b>.';

create or replace function pgpipe_internal.question_words(language regconfig, part text)
    returns tsvector  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The last character of a run is in its last pair.
    select to_tsvector(language, regexp_replace(pgpipe_internal.paired(language, part),
                                                '(' || u.one || ')\x1f\1(?!' || u.one || ')', '\1', 'g'))
      from pgpipe_internal.unspaced() u (one)
$$;
comment on function pgpipe_internal.question_words(regconfig, text) is
    'The words of a question in a language. A single character of a script without blanks is the beginning of one.';

create or replace function pgpipe_internal.phrase_query(language regconfig, phrase text)
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Behind the last pair, or single character, anything may follow; what is neither such a character nor \w asks for nothing.
    select regexp_replace(
               phraseto_tsquery(language, regexp_replace(pgpipe_internal.paired(language, phrase),
                                                         '(' || u.one || ')\x1f\1[^\w' || substr(u.one, 2) || '*$', '\1'))::text,
               '(''' || u.one || ''')$', '\1:*')::tsquery
      from pgpipe_internal.unspaced() u (one)
$$;
comment on function pgpipe_internal.phrase_query(regconfig, text) is 'The tsquery that asks for a phrase in a language.';
