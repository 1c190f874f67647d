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

drop function if exists pgpipe_internal.paired_expression(regconfig, text, int);

create or replace function pgpipe_internal.searched_bytes(language regconfig)
    returns int  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A tsvector holds 1,048,575 bytes. PostgreSQL's own parser and dictionaries make at most 3.5
    -- of them from a byte of text: of 'aé-bè ' the word with a hyphen and both of its parts, each
    -- with its position. A dictionary that makes several words of one is trusted less.
    select case when exists (
               select from pg_catalog.pg_ts_config config
                 join pg_catalog.pg_ts_parser parser on parser.oid = config.cfgparser
                where config.oid = language
                  and (parser.prsname, parser.prsnamespace)
                      = ('default', 'pg_catalog'::regnamespace)
                  and not exists (
                      select from pg_catalog.pg_ts_config_map map
                        join pg_catalog.pg_ts_dict dictionary on dictionary.oid = map.mapdict
                        join pg_catalog.pg_ts_template template
                          on template.oid = dictionary.dicttemplate
                       where map.mapcfg = config.oid
                         and template.tmplname <> all ('{simple,snowball,unaccent}'::name[])))
           then 290000 else 72500 end
$$;
comment on function pgpipe_internal.searched_bytes(regconfig) is
    'How many bytes of a row''s text are searched at most: so many that their words always fit '
    'into a tsvector.';

create or replace function pgpipe_internal.cut_expression(value text, room text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- PostgreSQL cuts at characters, of one to four bytes.
    select pgpipe_internal.fill(
        'left({value}, {room} / case when octet_length(left({value}, {room})) <= {room} then 1 '
        'when octet_length(left({value}, {room} / 2)) <= {room} then 2 else 4 end)',
        jsonb_build_object('value', value, 'room', room))
$$;
comment on function pgpipe_internal.cut_expression(text, text) is
    'SQL text: the beginning of the SQL expression `value`, of at most `room` bytes. That is an '
    'SQL expression too.';

drop function if exists pgpipe_internal.paired_branch(text, text);

create or replace function pgpipe_internal.pairs(value text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.fill($sql$
                    regexp_replace(
                        regexp_replace(
                            regexp_replace({value} collate "C",
                                           {run}, chr(31) || '\1' || chr(31), 'g'),
                            {each}, '\1' || chr(31) || '\1', 'g'),
                        chr(31) || {each} || chr(31) || {ahead}, chr(31), 'g')
               $sql$, jsonb_build_object(
               'value', value,
               'run', quote_literal('(' || one || '+)'),
               'each', quote_literal('(' || one || ')'),
               'ahead', quote_literal('(?=' || one || ')')))
      from pgpipe_internal.unspaced() one
$$;
comment on function pgpipe_internal.pairs(text) is
    'SQL text: the SQL expression `value` with the pairs of its characters in place of runs of '
    'scripts without blanks.';

create or replace function pgpipe_internal.paired_expression(
    language regconfig, value text, room text default null, share int default null)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Functions of PostgreSQL only: this stands in the target's own definition, and runs as the
    -- role that writes a row. To tell that a text is ASCII costs a hundredth of parsing it.
    select pgpipe_internal.fill(
               'case {paired}when octet_length({value}) > {share} then {cut} '
               'else coalesce({value}, '''') end', jsonb_build_object(
               'value', value, 'share', coalesce(paired_expression.share, most),
               'cut', pgpipe_internal.cut_expression(value, wanted.room),
               'paired', case when config.cfgparser = own.parser then  -- others know such scripts
                   pgpipe_internal.fill(
                       'when octet_length({value}) > char_length({value}) '
                       'and {value} collate "C" ~ {one} then {pairs} ', jsonb_build_object(
                           'value', value, 'one', quote_literal(pgpipe_internal.unspaced()),
                           'pairs', pgpipe_internal.pairs(
                               format('left(%s, %s / 4)', value, wanted.room)))) end))
      from pg_catalog.pg_ts_config config
     cross join pgpipe_internal.searched_bytes(language) most
     cross join lateral (select coalesce(paired_expression.room, most::text)) wanted (room)
     cross join (select parser.oid as parser from pg_catalog.pg_ts_parser parser
                  where parser.prsname = 'default'
                    and parser.prsnamespace = 'pg_catalog'::regnamespace) own
     where config.oid = language
$$;
comment on function pgpipe_internal.paired_expression(regconfig, text, text, int) is
    'SQL text: the SQL expression `value` as it is given to the parser of a language. '
    'PostgreSQL''s own parser gets runs of characters without blanks as overlapping pairs. Of a '
    'value of more than `share` bytes it is the beginning, of at most `room` bytes, an SQL '
    'expression.';

create or replace function pgpipe_internal.has_own_parser(language regconfig)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_ts_config config
                     join pg_catalog.pg_ts_parser parser on parser.oid = config.cfgparser
                    where config.oid = language and parser.prsname = 'default'
                      and parser.prsnamespace = 'pg_catalog'::regnamespace)
$$;
comment on function pgpipe_internal.has_own_parser(regconfig) is
    'Whether a language is read by PostgreSQL''s own parser. Others know their scripts.';

create or replace function pgpipe_internal.paired(language regconfig, value text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    one constant text := pgpipe_internal.unspaced();
begin
    -- The values of paired_expression, computed here: to compose and run it took longer.
    if octet_length(value) = char_length(value) then
        return left(value, 600000);  -- as much as is searched of it
    elsif not pgpipe_internal.has_own_parser(language) then
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
    select replace(case when strpos(passage collate "C", chr(31)) = 0 then passage  -- nearly all
                        else replace(regexp_replace(regexp_replace(
                                 passage collate "C", '(.)</b>\x1f<b>\1', '\1', 'g'),
                                 '(.)(</b>|)\x1f(<b>|)\1', '\3\1\2', 'g'), chr(31), '') end,
                   '</b><b>', '')
$$;
comment on function pgpipe_internal.unpaired(text) is
    'A passage of a paired text as it was before, with what is marked between <b> and </b>.';
