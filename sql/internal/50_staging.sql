-- Staging tables and first loads: the types of a target's columns, staging, a first load's indexes and its publication.

create or replace function pgpipe_internal.column_type(type oid, modifier int, out type_name text, out base text, out labels text[])
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A domain is sent as the type below it, an enum as its labels; a type of an extension is known by its bare name.
    with recursive below (oid, modifier, kind) as (
        select t.oid, column_type.modifier, t.typtype from pg_catalog.pg_type t where t.oid = column_type.type
        union all
        select t.oid, d.typtypmod, t.typtype
          from below b join pg_catalog.pg_type d on d.oid = b.oid and d.typtype = 'd' join pg_catalog.pg_type t on t.oid = d.typbasetype
    )
    select pg_catalog.format_type(column_type.type, column_type.modifier),
           case b.kind when 'e' then 'text'
                       when 'b' then regexp_replace(pg_catalog.format_type(b.oid, b.modifier), '^.+\.', '')
                       else pg_catalog.format_type(b.oid, b.modifier) end,
           (select array_agg(e.enumlabel::text order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = b.oid)
      from below b where b.kind <> 'd'
$$;
comment on function pgpipe_internal.column_type(oid, int) is
    'A type by its full name, the type in which its values are sent, and the labels of an enum.';

create or replace function pgpipe_internal.target_columns(target regclass)
    returns table (name name, type text, base text, labels text[], filled boolean, required boolean, defaulted boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select a.attname, t.type_name, t.base, t.labels, a.attgenerated <> '' or a.attidentity = 'a',
           a.attnotnull or (select d.typnotnull from pg_catalog.pg_type d where d.oid = a.atttypid),
           a.atthasdef or a.attidentity <> ''
      from pg_catalog.pg_attribute a, pgpipe_internal.column_type(a.atttypid, a.atttypmod) t
     where a.attrelid = target and a.attnum > 0 and not a.attisdropped
     order by a.attnum
$$;
comment on function pgpipe_internal.target_columns(regclass) is
    'The columns of a target in their order: type, which of them the target fills itself, which refuse NULL, which have a default.';

create or replace function pgpipe_internal.declared_type(declared text, out type_name text, out base text, out labels text[])
    stable strict  language sql
as $$
    -- The caller's search_path: a type is named as the user knows it. What stands in parentheses is kept, not read.
    select pg_catalog.regexp_replace(t.type_name, m.place, m.modifier || '\1\2'),
           pg_catalog.regexp_replace(t.base, m.place, m.modifier || '\1\2'), t.labels
      from (select coalesce(pg_catalog.substring(declared, '\([^)]*\)'), '') as modifier, '( with(?:out)? time zone)?(\[\])?$' as place) m,
           pgpipe_internal.column_type(pg_catalog.to_regtype(pg_catalog.regexp_replace(declared, ' *\([^)]*\)', '')), -1) t
     where t.type_name is not null
$$;
comment on function pgpipe_internal.declared_type(text) is 'The type that a user wrote, as column_type; null where there is none.';

create or replace function pgpipe_internal.create_staging(name name, columns jsonb, key name[], unlogged boolean)
    returns regclass  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    untyped text;
begin
    select c ->> 'type' into untyped from jsonb_array_elements(columns) c where to_regtype(c ->> 'type') is null limit 1;
    if found then
        raise exception 'the type % does not exist', untyped using errcode = 'PP003';
    end if;
    perform pgpipe_internal.drop_staging(name);
    execute format('create %s table pgpipe_staging.%I (%s)', case when unlogged then 'unlogged' else '' end, name,
        (select string_agg(format('%I %s', c ->> 'name', c ->> 'type'), ', ' order by n)
           from jsonb_array_elements(columns) with ordinality a (c, n)));
    if not unlogged and key = '{}' then
        execute format('alter table pgpipe_staging.%I add column pgpipe_row bigint generated always as identity', name);
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
        delete from pgpipe.search s where s.target = left_over;
        execute format('drop table %s', left_over);
    end if;
end
$$;
comment on function pgpipe_internal.drop_staging(name) is 'Drops a staging table, if there is one, with what was declared on it.';

create or replace function pgpipe_internal.index_staging(name name, key name[])
    returns void  volatile strict  set search_path = pg_catalog, pg_temp set maintenance_work_mem = '256MB'  language plpgsql
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
    'Builds the primary key and the search index of a filled table. Raises PP010 for a key that is NULL or occurs twice.';

create or replace function pgpipe_internal.publish(name name, schema name)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
    part name;
begin
    -- The names of its indexes and of its sequence may be taken there: by a table that was renamed since, or by one whose long name
    -- begins alike.
    for part in
        select c.relname from pg_catalog.pg_class c join pg_catalog.pg_class there on there.relname = c.relname
         where there.relnamespace = to_regnamespace(quote_ident(schema))
           and c.oid in (select i.indexrelid from pg_catalog.pg_index i where i.indrelid = made
                         union all select d.objid from pg_catalog.pg_depend d
                                    where d.refobjid = made and d.deptype = 'i' and d.classid = 'pg_catalog.pg_class'::regclass)
    loop
        execute format('alter table pgpipe_staging.%I rename to %I', part, pgpipe_internal.derived_name(part, '_' || made::oid));
    end loop;
    -- A rename gives its array type a free name, a move does not.
    execute format('alter table %s rename to %I', made, 'pgpipe_' || made::oid);
    execute format('alter table %s set schema %I', made, schema);
    execute format('alter table %s rename to %I', made, name);
    return made;
end
$$;
comment on function pgpipe_internal.publish(name, name) is
    'Moves a table built in pgpipe_staging to where its readers look for it. Raises 42P07 where another table came there first.';
