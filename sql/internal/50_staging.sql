-- Staging tables and first loads: staging, the indexes of a first load and its publication.

create or replace function pgpipe_internal.staging_name(schema name, entity name)
    returns name  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.derived_name(format('%I.%I', schema, entity), '')
$$;
comment on function pgpipe_internal.staging_name(name, name) is
    'The name of an entity''s staging table in pgpipe_staging. The schema of its target is part of '
    'it: loads into two schemas may run at once.';

create or replace function pgpipe_internal.create_staging(
    schema name, entity name, columns jsonb, key name[], unlogged boolean)
    returns regclass  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    untyped text;
    stage text := format('pgpipe_staging.%I', pgpipe_internal.staging_name(schema, entity));
begin
    select item ->> 'type' into untyped from jsonb_array_elements(columns) item
     where to_regtype(item ->> 'type') is null limit 1;
    if found then
        raise exception 'the type % does not exist', untyped using errcode = 'PP003';
    end if;
    perform pgpipe_internal.drop_staging(to_regclass(stage));
    execute format('create %s table %s (%s)', case when unlogged then 'unlogged' else '' end, stage,
        (select string_agg(format('%I %s', item ->> 'name', item ->> 'type'), ', '
                           order by place)
           from jsonb_array_elements(columns) with ordinality listed (item, place)));
    perform pgpipe_internal.mark_untyped(stage::regclass, columns);
    if not unlogged and key = '{}' then
        execute format('alter table %s add column pgpipe_row '
                       'bigint generated always as identity', stage);
    elsif unlogged then
        perform pgpipe_internal.distribute_beside(
            stage::regclass, to_regclass(format('%I.%I', schema, entity)));
    end if;
    return stage::regclass;
end
$$;
comment on function pgpipe_internal.create_staging(name, name, jsonb, name[], boolean) is
    'Makes the staging table of an entity from [{"name", "type", "untyped"}], replacing what an '
    'earlier load left there. It is unlogged for rows that will be merged, logged for a target '
    'that will be published. Without a key the latter gets a generated pgpipe_row. The former '
    'lies with the rows of a target that is distributed.';

create or replace function pgpipe_internal.drop_staging(stage regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.search declared where declared.target = stage;
    execute format('drop table if exists %s', pgpipe_internal.difference_name(stage));
    execute format('drop table %s', stage);
end
$$;
comment on function pgpipe_internal.drop_staging(regclass) is
    'Drops a staging table with its difference and with what was declared on it.';

create or replace function pgpipe_internal.index_staging(stage regclass, key name[])
    returns void
    volatile strict  set search_path = pg_catalog, pg_temp  set maintenance_work_mem = '256MB'
    language plpgsql
as $$
begin
    begin
        execute format('alter table %s add primary key (%s)', stage,
            case key when '{}' then 'pgpipe_row' else pgpipe_internal.column_list(key) end);
    exception when unique_violation or not_null_violation then
        perform pgpipe_internal.check_key(stage, key);  -- only a key that failed is counted
        raise;
    end;
    perform pgpipe_internal.index_search(stage);
    execute format('analyze %s', stage);
end
$$;
comment on function pgpipe_internal.index_staging(regclass, name[]) is
    'Builds the primary key and the search index of a filled table. Raises PP010 for a key that '
    'is NULL or occurs twice.';

create or replace function pgpipe_internal.staging_parts(stage regclass)
    returns table (part name, suffix text, of_constraint boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select class.relname,
           case when index.indisprimary then '_pkey' else '_' || item.attname || '_idx' end, false
      from pg_catalog.pg_index index
      join pg_catalog.pg_class class on class.oid = index.indexrelid
      join pg_catalog.pg_attribute item
        on item.attrelid = stage and item.attnum = index.indkey[0]
     where index.indrelid = stage
    union all
    select class.relname, '_' || item.attname || '_seq', false
      from pg_catalog.pg_depend link
      join pg_catalog.pg_class class on class.oid = link.objid and class.relkind = 'S'
      join pg_catalog.pg_attribute item
        on item.attrelid = stage and item.attnum = link.refobjsubid
     where link.refobjid = stage and link.deptype = 'i'
       and link.classid = 'pg_catalog.pg_class'::regclass
    union all
    select required.conname, '_' || item.attname || '_not_null', true
      from pg_catalog.pg_constraint required
      join pg_catalog.pg_attribute item
        on item.attrelid = stage and item.attnum = required.conkey[1]
     where required.conrelid = stage and required.contype = 'n'
       and not pgpipe_internal.is_distributed(stage)  -- Citus renames none
$$;
comment on function pgpipe_internal.staging_parts(regclass) is
    'The indexes, sequences and NOT NULL constraints of a staging table, and the ends of the names '
    'that PostgreSQL gives such parts of a table.';

create or replace function pgpipe_internal.publish(stage regclass, schema name, entity name)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known record;
    wanted name;
begin
    -- A rename gives its array type a free name, a move does not.
    execute format('alter table %s rename to %I', stage, 'pgpipe_' || stage::oid);
    execute format('alter table %s set schema %I', stage, schema);
    for known in select * from pgpipe_internal.staging_parts(stage) loop
        wanted := pgpipe_internal.derived_name(entity, known.suffix);
        if known.of_constraint then
            execute format('alter table %s rename constraint %I to %I', stage, known.part, wanted);
            continue;
        end if;
        -- The name may be taken there by a part of a table that was renamed since.
        if to_regclass(format('%I.%I', schema, wanted)) is not null then
            wanted := pgpipe_internal.derived_name(wanted, '_' || stage::oid);
        end if;
        execute format('alter table %I.%I rename to %I', schema, known.part, wanted);
    end loop;
    execute format('alter table %s rename to %I', stage, entity);
end
$$;
comment on function pgpipe_internal.publish(regclass, name, name) is
    'Moves a table built in pgpipe_staging to where its readers look for it, and names its indexes '
    'after it. Raises 42P07 where another table came there first.';
