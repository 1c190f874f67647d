-- The language of a search: one for the table, or that of each row.

create or replace function pgpipe.language_expression(
    target regclass, language regconfig, language_column name, value text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
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
comment on function pgpipe.language_expression(regclass, regconfig, name, text) is
    'SQL text: the configuration of the language column''s `value`, an SQL expression; the default where it is NULL or names none. '
    'Raises PP003 for a column that cannot name one.';

create or replace function pgpipe.search_languages(target regclass)
    returns regconfig[]  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
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
$$;
comment on function pgpipe.search_languages(regclass) is
    'The configurations by which a question is read: the one of the table, or those of its rows. Raises PP005 without a search column, '
    'or where its configuration was dropped.';
