-- The language of a search: one for the table, or that of each row.
-- Tables keep it as text, because pg_upgrade refuses columns of type regconfig.

create or replace function pgpipe_internal.find_language(name text)
    returns regconfig  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select known.oid::regconfig from pg_catalog.pg_ts_config known
     where known.oid::regconfig::text = name
$$;
comment on function pgpipe_internal.find_language(text) is
    'The text search configuration of a name as the tables keep it. It is quoted if needed, with '
    'its schema unless that is pg_catalog. Null if there is none.';

create or replace function pgpipe_internal.declared_language(target regclass, name text)
    returns regconfig  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    language regconfig := pgpipe_internal.find_language(name);
begin
    if language is null then
        raise exception 'the text search configuration %, by which % is searched, does not exist',
            name, target using errcode = 'PP005', hint = format(
                'It was renamed or dropped. Give it back its name, or search by another one: '
                'select pgpipe.alter_search(%L, …, language => ''english'')', target);
    end if;
    return language;
end
$$;
comment on function pgpipe_internal.declared_language(regclass, text) is
    'The configuration that a search was declared with. Raises PP005 if it was renamed or dropped.';

create or replace function pgpipe_internal.check_language()
    returns trigger  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.find_language(new.language) is null then
        raise exception '% is not a text search configuration', new.language
            using errcode = 'PP003', hint = '`\dF *.*` in psql lists them.';
    end if;
    return new;
end
$$;
comment on function pgpipe_internal.check_language() is
    'Trigger on search and search_fill: the language is the name of a text search configuration.';
create or replace trigger check_language before insert or update of language on pgpipe.search
    for each row execute function pgpipe_internal.check_language();
create or replace trigger check_language before insert or update of language on pgpipe.search_fill
    for each row execute function pgpipe_internal.check_language();

create or replace function pgpipe_internal.named_languages()
    returns table (name text, config regconfig)
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with known as (
        select config.cfgname::text as name, config.oid::regconfig as config
          from pg_catalog.pg_ts_config config
         where config.cfgnamespace = 'pg_catalog'::regnamespace
    )
    select known.name, known.config from known
    union all
    select iso.code, known.config from known
      join (values ('ar', 'arabic'), ('hy', 'armenian'), ('eu', 'basque'), ('ca', 'catalan'),
                   ('da', 'danish'), ('nl', 'dutch'), ('en', 'english'), ('et', 'estonian'),
                   ('fi', 'finnish'), ('fr', 'french'), ('de', 'german'), ('el', 'greek'),
                   ('hi', 'hindi'), ('hu', 'hungarian'), ('id', 'indonesian'), ('ga', 'irish'),
                   ('it', 'italian'), ('lt', 'lithuanian'), ('ne', 'nepali'), ('no', 'norwegian'),
                   ('nb', 'norwegian'), ('nn', 'norwegian'), ('pt', 'portuguese'),
                   ('ro', 'romanian'), ('ru', 'russian'), ('sr', 'serbian'), ('es', 'spanish'),
                   ('sv', 'swedish'), ('ta', 'tamil'), ('tr', 'turkish'), ('yi', 'yiddish'))
           iso (code, name) on iso.name = known.name
$$;
comment on function pgpipe_internal.named_languages() is
    'What a language column may hold: names and ISO codes of PostgreSQL''s own configurations.';

create or replace function pgpipe_internal.language_expression(
    target regclass, language regconfig, language_column name, value text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    parts jsonb := jsonb_build_object('value', value, 'default', quote_literal(language));
    type oid := (select pgpipe_internal.base_type(col.atttypid) from pg_catalog.pg_attribute col
                  where col.attrelid = target and col.attname = language_column);
begin
    if language_column is null then
        return format('%L::pg_catalog.regconfig', language);
    elsif type = 'regconfig'::regtype then
        return pgpipe_internal.fill(
            'coalesce({value}, {default}::pg_catalog.regconfig)', parts);
    elsif type not in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) then
        raise exception '% names no language: it is a column of %', quote_ident(language_column),
            pg_catalog.format_type(type, -1)
            using errcode = 'PP003',
            hint = 'A language column is text, such as german, de or de-AT.';
    end if;
    -- A text column: PostgreSQL would not call the lookup of a name immutable, constants it does.
    return pgpipe_internal.fill(
        'case lower(split_part(translate({value}::text, ''_'', ''-''), ''-'', 1)) '
        '{choices} else {default}::pg_catalog.regconfig end',
        parts || jsonb_build_object('choices', (
            select string_agg(format('when %L then %L::pg_catalog.regconfig', name, config), ' '
                              order by name)
              from pgpipe_internal.named_languages())));
end
$$;
comment on function pgpipe_internal.language_expression(regclass, regconfig, name, text) is
    'SQL text: the configuration of the language column''s `value`, an SQL expression. It is the '
    'default if the value is NULL or names none. Raises PP003 for a column that cannot name one.';

create or replace function pgpipe_internal.present_language_column(declared pgpipe.search)
    returns name  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if declared.language_column is null
       or pgpipe_internal.has_column(declared.target, declared.language_column) then
        return declared.language_column;
    end if;
    -- A generated column follows a column that is renamed, so its dependencies show the new name.
    return (select min(source.attname)
              from pg_catalog.pg_attribute own
              join pg_catalog.pg_attrdef formula
                on formula.adrelid = own.attrelid and formula.adnum = own.attnum
              join pg_catalog.pg_depend link
                on link.classid = 'pg_catalog.pg_attrdef'::regclass
               and link.objid = formula.oid and link.refobjid = own.attrelid
              join pg_catalog.pg_attribute source
                on source.attrelid = own.attrelid and source.attnum = link.refobjsubid
             where own.attrelid = declared.target and own.attname = declared.column_name
               and source.attnum <> own.attnum
               and not declared.weights ? source.attname::text
            having count(*) = 1);
end
$$;
comment on function pgpipe_internal.present_language_column(pgpipe.search) is
    'The language column of a search by its present name. Null if there is none, or if it '
    'cannot be known. Questions are then read in the language of the table.';

create or replace function pgpipe_internal.search_languages(target regclass)
    returns regconfig[]  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.search := pgpipe_internal.require_search(target);
    language regconfig := pgpipe_internal.declared_language(target, declared.language);
    spoken name := pgpipe_internal.present_language_column(declared);
    languages regconfig[];
begin
    if spoken is null then
        return array[language];
    end if;
    -- One step of the index a language, however many rows there are.
    -- A row of a new language counts at once.
    execute pgpipe_internal.fill($sql$
        with recursive spoken as (
            (select row.{column} as value from {target} row where row.{column} is not null
              order by row.{column} limit 1)
            union all
            select (select row.{column} from {target} row where row.{column} > spoken.value
                     order by row.{column} limit 1)
              from spoken where spoken.value is not null
        )
        select array_agg(distinct {language}::oid)::regconfig[] from spoken
        $sql$, jsonb_build_object(
            'column', quote_ident(spoken), 'target', target,
            'language', pgpipe_internal.language_expression(
                target, language, spoken, 'spoken.value')))
       into languages;
    return coalesce(languages, array[language]);
end
$$;
comment on function pgpipe_internal.search_languages(regclass) is
    'The configurations by which a question is read: the one of the table, or those of its rows. '
    'Raises PP005 without a search column, or if its configuration does not exist.';
