-- Text as people write it, brought to a form in which it is found: what the parser is given.
-- This is version 2 of search columns; version 1 is paired_expression alone. A column that is
-- stored keeps its version until alter_search, so what a version makes of a text never changes.

create or replace function pgpipe_internal.search_version()
    returns int  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$ select 2 $$;
comment on function pgpipe_internal.search_version() is
    'The version of search columns that are declared from now on.';

create or replace function pgpipe_internal.spelling(out joint text, out rare text)
    immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of words is all but what ASCII has besides letters and digits. What PostgreSQL's parser glues
    -- words with becomes a hyphen, of which it makes the whole and its parts. A number keeps its
    -- point, and so does an abbreviation: the letters of e.g. would be rare words. What stands in
    -- front is taken along in \1 or \3, the sign itself is \2 or \4: to look back from each
    -- character costs half as much as parsing the text. `rare` is what may be invisible, composed
    -- in another way than usual, of another width, or of a script without blanks: no such text is
    -- missed, and a few others are taken for one.
    select '([^\x01-\x1e -,./:-@[-^`{-~][^\x01-\x1e -/:-@[-`{-~])(\.)(?=[^\x01-\x1e -@[-`{-~])'
           '|([^\x01-\x1e -/:-@[-`{-~])([/@](?=[^\x01-\x1e -/:-@[-`{-~])'
           '|\.(?=[^\x01-\x1e -@[-`{-~][^\x01-\x1e -/:-@[-`{-~]))',
           '[\u00ad\u02bc\u0300-\u036f\u0653-\u0655\u093c-\u200f\u202a-\u202e\u2060-\u206f'
           '\u2126-\u212b\u3005-\uffff\U00020000-\U0003ffff]'
$$;
comment on function pgpipe_internal.spelling() is
    'Regular expressions of what is glued together, and of what may be written in several ways.';

create or replace function pgpipe_internal.composed(value text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wide text;
    usual text;
begin
    -- Other encodings have neither several ways to write an accent nor invisible characters but
    -- the soft hyphen, which is left to regular expressions too.
    if getdatabaseencoding() <> 'UTF8' then
        return format('regexp_replace(%s collate "C", %L, '''', ''g'')', value, '\u00ad');
    end if;
    select string_agg(chr(code + 65248), '' order by code) || chr(700),
           string_agg(chr(code), '' order by code) || '''' into wide, usual
      from generate_series(48, 122) code where chr(code) ~ '[0-9A-Za-z]';
    return pgpipe_internal.fill(
        'replace(replace(replace(replace(replace(translate(normalize(regexp_replace({value} '
        'collate "C", {invisible}, '''', ''g'')), {all}, {plain}), {ffi}, ''ffi''), {ffl}, '
        '''ffl''), {ff}, ''ff''), {fi}, ''fi''), {fl}, ''fl'')', jsonb_build_object(
            'value', value, 'invisible', quote_literal(
                '[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]'),
            'all', quote_literal(wide), 'plain', quote_literal(usual),
            'ff', quote_literal(chr(64256)), 'fi', quote_literal(chr(64257)),
            'fl', quote_literal(chr(64258)), 'ffi', quote_literal(chr(64259)),
            'ffl', quote_literal(chr(64260))));
end
$$;
comment on function pgpipe_internal.composed(text) is
    'SQL text: the SQL expression `value` without invisible characters, with accents composed, '
    'ligatures in letters, and letters and digits of their usual width.';

create or replace function pgpipe_internal.written_expression(
    language regconfig, value text, room text default null, share int default null)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    most constant text := pgpipe_internal.searched_bytes(language);
    form constant record := pgpipe_internal.spelling();
    own constant text := coalesce(room, most);
    cut constant text := pgpipe_internal.fill(
        'case when octet_length({value}) > {share} then {cut} else {value} end', jsonb_build_object(
            'value', value, 'share', coalesce(share::text, most),
            'cut', pgpipe_internal.cut_expression(value, own)));
begin
    if not pgpipe_internal.has_own_parser(language) then
        return pgpipe_internal.paired_expression(language, value, room, share);
    end if;
    -- Functions of PostgreSQL only, as in paired_expression. It is short, because PostgreSQL reads
    -- it for each statement, and quick: replacing a text that is not there costs next to nothing.
    return pgpipe_internal.fill($sql$
        regexp_replace(replace(replace(replace(
            case when octet_length({value}) > char_length({value}) and {value} collate "C" ~ {rare}
                 then {pairs} else coalesce({cut}, '') end collate "C",
            '++', {plusplus}), 'C#', {csharp}), '.NET', ' dotNET NET'), {joint}, '\1\3-', 'g')
        $sql$, jsonb_build_object(
            'value', value, 'cut', cut, 'joint', quote_literal(form.joint),
            'rare', quote_literal(form.rare),
            'pairs', pgpipe_internal.pairs(pgpipe_internal.composed(format(
                'case when %s collate "C" ~ %L then left(%s, %s / 4) else %s end',
                value, pgpipe_internal.unspaced(), value, own, cut))),
            'plusplus', quote_literal('plusplus' || chr(127)),
            'csharp', quote_literal('Csharp' || chr(127))));
end
$$;
comment on function pgpipe_internal.written_expression(regconfig, text, text, int) is
    'SQL text: the SQL expression `value` as it is given to the parser of a language, from '
    'version 2 on. Arguments are as in paired_expression.';

create or replace function pgpipe_internal.written(
    language regconfig, value text, version int, shown boolean default false)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    form constant record := pgpipe_internal.spelling();
begin
    if version = 1 or not pgpipe_internal.has_own_parser(language) then
        return pgpipe_internal.paired(language, value);
    end if;
    -- The values of written_expression, computed here: to compose and run it took longer.
    value := coalesce(left(value, 600000), '');
    if octet_length(value) > char_length(value) and value collate "C" ~ form.rare then
        execute format('select %s', pgpipe_internal.composed('$1')) into value using value;
        value := pgpipe_internal.paired(language, value);
    end if;
    value := replace(replace(value collate "C", '++', 'plusplus' || chr(127)),
                     'C#', 'Csharp' || chr(127));
    if shown then
        return regexp_replace(value collate "C", form.joint,
                              '\1\3' || chr(31) || '\2\4' || chr(31), 'g');
    end if;
    return regexp_replace(replace(value collate "C", '.NET', ' dotNET NET'), form.joint, '\1\3-',
                          'g');
end
$$;
comment on function pgpipe_internal.written(regconfig, text, int, boolean) is
    'A text as it is given to the parser of a language, for search columns of a version. With '
    '`shown` it can be made to what it was by unwritten, for passages.';

create or replace function pgpipe_internal.unwritten(passage text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.unpaired(case when strpos(passage collate "C", chr(127)) = 0 then passage
               else regexp_replace(regexp_replace(
                        passage collate "C", 'plusplus(</b>|)\x7f', '++\1', 'g'),
                        'sharp(</b>|)\x7f', '#\1', 'g') end)
$$;
comment on function pgpipe_internal.unwritten(text) is
    'A passage of a text from `written` as it was before, with what is marked between <b> and '
    '</b>. Accents stay composed, and invisible characters away.';
