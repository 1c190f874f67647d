-- Staging tables and first loads: the types of a target's columns, staging, the indexes of a first
-- load and its publication.

create or replace function pgpipe_internal.column_type(
    type oid, modifier int, out type_name text, out base text, out labels text[])
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A domain is sent as the type below it, an enum as its labels. A type of an extension is
    -- known by its bare name.
    with recursive below (oid, modifier, kind) as (
        select known.oid, column_type.modifier, known.typtype
          from pg_catalog.pg_type known where known.oid = column_type.type
        union all
        select known.oid, domain.typtypmod, known.typtype
          from below
          join pg_catalog.pg_type domain on domain.oid = below.oid and domain.typtype = 'd'
          join pg_catalog.pg_type known on known.oid = domain.typbasetype
    )
    select pg_catalog.format_type(column_type.type, column_type.modifier),
           case below.kind
           when 'e' then 'text'
           when 'b' then regexp_replace(
                             pg_catalog.format_type(below.oid, below.modifier), '^.+\.', '')
           else pg_catalog.format_type(below.oid, below.modifier) end,
           (select array_agg(label.enumlabel::text order by label.enumsortorder)
              from pg_catalog.pg_enum label where label.enumtypid = below.oid)
      from below where below.kind <> 'd'
$$;
comment on function pgpipe_internal.column_type(oid, int) is
    'A type by its full name, the type in which its values are sent, and the labels of an enum.';

create or replace function pgpipe_internal.target_columns(target regclass)
    returns table (name name, type text, base text, labels text[],
                   filled boolean, required boolean, defaulted boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select item.attname, type.type_name, type.base, type.labels,
           item.attgenerated <> '' or item.attidentity = 'a',
           item.attnotnull or (select known.typnotnull from pg_catalog.pg_type known
                                where known.oid = item.atttypid),
           item.atthasdef or item.attidentity <> ''
      from pg_catalog.pg_attribute item
     cross join lateral pgpipe_internal.column_type(item.atttypid, item.atttypmod) type
     where item.attrelid = target and item.attnum > 0 and not item.attisdropped
     order by item.attnum
$$;
comment on function pgpipe_internal.target_columns(regclass) is
    'The columns of a target in their order: type, which of them the target fills itself, which '
    'refuse NULL, which have a default.';

create or replace function pgpipe_internal.declared_type(
    declared text, out type_name text, out base text, out labels text[])
    stable strict  language sql
as $$
    -- The caller's search_path: a type is named as the user knows it. What stands in parentheses
    -- is kept, not read.
    select pg_catalog.regexp_replace(known.type_name, modifier.place, modifier.kept),
           pg_catalog.regexp_replace(known.base, modifier.place, modifier.kept), known.labels
      from (select '( with(?:out)? time zone)?(\[\])?$' as place,
                   pg_catalog.concat(pg_catalog.substring(declared, '\([^)]*\)'), '\1\2') as kept
           ) modifier
     cross join pgpipe_internal.column_type(pg_catalog.to_regtype(
                    pg_catalog.regexp_replace(declared, ' *\([^)]*\)', '')), -1) known
     where known.type_name is not null
$$;
comment on function pgpipe_internal.declared_type(text) is
    'The type that a user wrote, as column_type; null where there is none.';

create or replace function pgpipe_internal.create_staging(
    name name, columns jsonb, key name[], unlogged boolean)
    returns regclass  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    untyped text;
begin
    select item ->> 'type' into untyped from jsonb_array_elements(columns) item
     where to_regtype(item ->> 'type') is null limit 1;
    if found then
        raise exception 'the type % does not exist', untyped using errcode = 'PP003';
    end if;
    perform pgpipe_internal.drop_staging(name);
    execute format('create %s table pgpipe_staging.%I (%s)',
        case when unlogged then 'unlogged' else '' end, name,
        (select string_agg(format('%I %s', item ->> 'name', item ->> 'type'), ', '
                           order by place)
           from jsonb_array_elements(columns) with ordinality listed (item, place)));
    if not unlogged and key = '{}' then
        execute format('alter table pgpipe_staging.%I add column pgpipe_row '
                       'bigint generated always as identity', name);
    end if;
    return format('pgpipe_staging.%I', name)::regclass;
end
$$;
comment on function pgpipe_internal.create_staging(name, jsonb, name[], boolean) is
    'Makes a table in pgpipe_staging from [{"name", "type"}], replacing what an earlier load left '
    'there. It is unlogged for rows that will be merged, logged for a target that will be '
    'published. Without a key the latter gets a generated pgpipe_row.';

create or replace function pgpipe_internal.drop_staging(name name)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    left_over regclass := to_regclass(format('pgpipe_staging.%I', name));
begin
    if left_over is not null then
        delete from pgpipe.search declared where declared.target = left_over;
        execute format('drop table %s', left_over);
    end if;
end
$$;
comment on function pgpipe_internal.drop_staging(name) is
    'Drops a staging table, if there is one, with what was declared on it.';

create or replace function pgpipe_internal.index_staging(name name, key name[])
    returns void
    volatile strict  set search_path = pg_catalog, pg_temp  set maintenance_work_mem = '256MB'
    language plpgsql
as $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
begin
    begin
        execute format('alter table %s add primary key (%s)', made,
            case key when '{}' then 'pgpipe_row' else pgpipe_internal.column_list(key) end);
    exception when unique_violation or not_null_violation then
        perform pgpipe_internal.check_key(made, key);  -- only a key that failed is counted
        raise;
    end;
    perform pgpipe_internal.index_search(made);
    execute format('analyze %s', made);
end
$$;
comment on function pgpipe_internal.index_staging(name, name[]) is
    'Builds the primary key and the search index of a filled table. Raises PP010 for a key that '
    'is NULL or occurs twice.';

create or replace function pgpipe_internal.publish(name name, schema name)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
    part name;
begin
    -- The names of its indexes and of its sequence may be taken there: by a table that was renamed
    -- since, or by one whose long name begins alike.
    for part in
        select class.relname from pg_catalog.pg_class class
          join pg_catalog.pg_class taken on taken.relname = class.relname
         where taken.relnamespace = to_regnamespace(quote_ident(schema))
           and class.oid in (
               select index.indexrelid from pg_catalog.pg_index index where index.indrelid = made
               union all
               select link.objid from pg_catalog.pg_depend link
                where link.refobjid = made and link.deptype = 'i'
                  and link.classid = 'pg_catalog.pg_class'::regclass)
    loop
        execute format('alter table pgpipe_staging.%I rename to %I', part,
                       pgpipe_internal.derived_name(part, '_' || made::oid));
    end loop;
    -- A rename gives its array type a free name, a move does not.
    execute format('alter table %s rename to %I', made, 'pgpipe_' || made::oid);
    execute format('alter table %s set schema %I', made, schema);
    execute format('alter table %s rename to %I', made, name);
    return made;
end
$$;
comment on function pgpipe_internal.publish(name, name) is
    'Moves a table built in pgpipe_staging to where its readers look for it. Raises 42P07 where '
    'another table came there first.';
