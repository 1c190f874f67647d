-- Keys of loads: whose rows they name, whether they identify a row, and which rows differ.

create or replace function pgpipe_internal.inexact_columns(target regclass, columns name[])
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(array_agg(item.attname order by part.place), '{}')
      from unnest(columns) with ordinality part (name, place)
      join pg_catalog.pg_attribute item
        on item.attrelid = inexact_columns.target and item.attname = part.name
      left join pg_catalog.pg_collation known on known.oid = item.attcollation
     where not coalesce(known.collisdeterministic, true)
        or pgpipe_internal.base_type(item.atttypid) <> all (
               '{int2,int4,int8,oid,bool,text,varchar,name,bytea,uuid,date,time,timestamp,
                 timestamptz}'::regtype[])
$$;
comment on function pgpipe_internal.inexact_columns(regclass, name[]) is
    'Those of the columns whose equality may call values equal that differ in a byte.';

create or replace function pgpipe_internal.align_keys(
    target regclass, stage regclass, key name[])
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        select item.attname as name, home.nspname as schema, known.collname as collation_name,
               pg_catalog.format_type(item.atttypid, item.atttypmod) as type
          from pg_catalog.pg_attribute item
          join pg_catalog.pg_attribute staged
            on staged.attrelid = stage and staged.attname = item.attname
          join pg_catalog.pg_collation known on known.oid = item.attcollation
          join pg_catalog.pg_namespace home on home.oid = known.collnamespace
         where item.attrelid = target and item.attname = any (key)
           and staged.attcollation <> item.attcollation
    loop
        execute format('alter table %s alter column %I type %s collate %I.%I', stage, part.name,
                       part.type, part.schema, part.collation_name);
    end loop;
end
$$;
comment on function pgpipe_internal.align_keys(regclass, regclass, name[]) is
    'Gives the staged key the collations of the target, so that both call the same values equal.';

create or replace function pgpipe_internal.find_twice(
    relation regclass, key name[], out keys bigint, out example text)
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format($sql$
        with twice as (select %s from %s held group by %s having count(*) > 1)
        select count(*), min(concat_ws(', ', %s)) from twice $sql$,
        pgpipe_internal.numbered_list(key, 'held'), relation,
        pgpipe_internal.column_list(key, 'held'),
        pgpipe_internal.number_list(key, 'twice')) into keys, example;
    example := quote_literal(left(example, 60));
end
$$;
comment on function pgpipe_internal.find_twice(regclass, name[]) is
    'How many keys a table has more than once, and one of them.';

create or replace function pgpipe_internal.count_nulls(relation regclass, key name[])
    returns bigint  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found bigint;
begin
    execute format('select count(*) from %s held where num_nulls(%s) > 0', relation,
                   pgpipe_internal.column_list(key, 'held')) into found;
    return found;
end
$$;
comment on function pgpipe_internal.count_nulls(regclass, name[]) is
    'How many rows of a table have a NULL in the key.';

create or replace function pgpipe_internal.check_key(stage regclass, key name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    names text := pgpipe_internal.column_list(key);
    nulls bigint := pgpipe_internal.count_nulls(stage, key);
    twice record;
begin
    if nulls > 0 then
        raise exception 'the key (%) is NULL in % of the rows', names, nulls
            using errcode = 'PP010',
            hint = 'A key identifies every row: choose columns without NULLs.';
    end if;
    twice := pgpipe_internal.find_twice(stage, key);
    if twice.keys > 0 then
        raise exception
            'the key (%) is not unique: % of its values occur more than once, such as %', names,
            twice.keys, twice.example using errcode = 'PP010',
            hint = 'Name more columns in `key`. If the last row of a key counts, name in `order` '
                   'the columns that say which that is. Or load without a key in mode append.';
    end if;
end
$$;
comment on function pgpipe_internal.check_key(regclass, name[]) is
    'Raises PP010 if the key is NULL or occurs twice, with how often and an example.';

create or replace function pgpipe_internal.is_unique(target regclass, key name[])
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- An index counts if it calls equal what the key's own equality calls equal: another operator
    -- class or collation may tell values apart that a join takes for one.
    select (class.relkind = 'p' or not class.relhassubclass) and exists (
               select from pg_catalog.pg_index index
                where index.indrelid = class.oid and index.indisunique and index.indisvalid
                  and index.indimmediate and index.indpred is null
                  and not exists (
                      select from generate_series(0, index.indnkeyatts - 1) part (place)
                        left join pg_catalog.pg_attribute item
                          on item.attrelid = class.oid and item.attnum <> 0
                         and item.attnum = index.indkey[part.place]
                        left join pg_catalog.pg_collation known on known.oid = item.attcollation
                        left join pg_catalog.pg_opclass equality
                          on equality.oid = index.indclass[part.place]
                        left join pg_catalog.pg_type type
                          on type.oid = pgpipe_internal.base_type(item.atttypid)
                       where item.attname is null or item.attname <> all (key)
                          or not (coalesce(known.collisdeterministic, true)
                                  or index.indcollation[part.place] = item.attcollation)
                          or not (type.typnamespace = 'pg_catalog'::regnamespace
                                  or equality.opcdefault and (
                                     equality.opcintype = type.oid
                                     or equality.opcintype = any (
                                        '{anyarray,anyenum,anyrange,anymultirange,record}'
                                        ::regtype[])))))
      from pg_catalog.pg_class class where class.oid = target
$$;
comment on function pgpipe_internal.is_unique(regclass, name[]) is
    'Whether an index sees to it that no two rows of the target have the same key.';

create or replace function pgpipe_internal.refuse_missing(target regclass, missing name)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    filled boolean;
begin
    execute format('select exists (select 1 from %s)', target) into filled;
    if filled then
        raise exception '% has no column %, which is in the key', target, quote_ident(missing)
            using errcode = 'PP010', hint = 'Name columns that identify the rows that are there.';
    end if;
end
$$;
comment on function pgpipe_internal.refuse_missing(regclass, name) is
    'Raises PP010 if the target has rows: none of them has a value of this key column.';

create or replace function pgpipe_internal.refuse_nulls(target regclass, key name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    nulls bigint;
begin
    if not exists (select from pg_catalog.pg_attribute item
                    where item.attrelid = target and item.attname = any (key)
                      and not item.attnotnull) then
        return;
    end if;
    nulls := pgpipe_internal.count_nulls(target, key);
    if nulls > 0 then
        raise exception 'the key (%) is NULL in % of the rows of %',
            pgpipe_internal.column_list(key), nulls, target using errcode = 'PP010',
            hint = 'Delete these rows, give them a key, or use mode upsert, which keeps them.';
    end if;
end
$$;
comment on function pgpipe_internal.refuse_nulls(regclass, name[]) is
    'Raises PP010 if a row of the target has a NULL in the key.';

create or replace function pgpipe_internal.require_unique(target regclass, key name[], mode text)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    names text := pgpipe_internal.column_list(key);
    missing name := (select wanted.name from unnest(key) wanted (name)
                      where not pgpipe_internal.has_column(target, wanted.name) limit 1);
    twice record;
begin
    if missing is not null then
        perform pgpipe_internal.refuse_missing(target, missing);
        return;
    end if;
    if mode = 'snapshot' then  -- which could not delete such rows, as no staged key holds a NULL
        perform pgpipe_internal.refuse_nulls(target, key);
    end if;
    if pgpipe_internal.is_unique(target, key) then
        return;
    end if;
    twice := pgpipe_internal.find_twice(target, key);
    if twice.keys > 0 then
        raise exception '% is not unique by the key (%): % of its values occur more than once, %',
            target, names, twice.keys, 'such as ' || twice.example using errcode = 'PP010',
            hint = format('Delete the rows that are double, or name more columns in `key`. This '
                          'keeps it unique: create unique index on %s (%s)', target, names);
    end if;
end
$$;
comment on function pgpipe_internal.require_unique(regclass, name[], text) is
    'Raises PP010 if two rows of the target have the same key, or if it lacks a column of it. For '
    'a snapshot also if the key is NULL. Reads the target only if no index keeps the key unique.';
