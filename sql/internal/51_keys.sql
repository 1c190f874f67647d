-- Keys of loads: whose rows they name, whether they identify a row, and which rows differ.

create or replace function pgpipe_internal.inexact_columns(target regclass, columns name[])
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(array_agg(a.attname order by k.n), '{}')
      from unnest(columns) with ordinality k (name, n)
      join pg_catalog.pg_attribute a on a.attrelid = inexact_columns.target and a.attname = k.name
      left join pg_catalog.pg_collation c on c.oid = a.attcollation
     where not coalesce(c.collisdeterministic, true)
        or pgpipe_internal.base_type(a.atttypid) <> all (
               '{int2,int4,int8,oid,bool,text,varchar,name,bytea,uuid,date,time,timestamp,
                 timestamptz}'::regtype[])
$$;
comment on function pgpipe_internal.inexact_columns(regclass, name[]) is
    'Those of the columns whose equality may call values equal that differ in a byte.';

create or replace function pgpipe_internal.align_keys(target regclass, stage regclass, key name[])
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        select t.attname, pg_catalog.format_type(t.atttypid, t.atttypmod) as type, n.nspname,
               c.collname
          from pg_catalog.pg_attribute t
          join pg_catalog.pg_attribute s on s.attrelid = stage and s.attname = t.attname
          join pg_catalog.pg_collation c on c.oid = t.attcollation
          join pg_catalog.pg_namespace n on n.oid = c.collnamespace
         where t.attrelid = target and t.attname = any (key) and s.attcollation <> t.attcollation
    loop
        execute format('alter table %s alter column %I type %s collate %I.%I', stage, part.attname,
                       part.type, part.nspname, part.collname);
    end loop;
end
$$;
comment on function pgpipe_internal.align_keys(regclass, regclass, name[]) is
    'Gives the staged key the collations of the target, so that both call the same values equal.';

create or replace function pgpipe_internal.find_twice(relation regclass, key name[], out keys bigint,
    out example text)
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format($sql$
        with twice as (select %s from %s r group by %s having count(*) > 1)
        select count(*), min(concat_ws(', ', %s)) from twice w $sql$,
        pgpipe_internal.numbered_list(key, 'r'), relation, pgpipe_internal.column_list(key, 'r'),
        pgpipe_internal.number_list(key, 'w')) into keys, example;
    example := quote_literal(left(example, 60));
end
$$;
comment on function pgpipe_internal.find_twice(regclass, name[]) is
    'How many keys a table has more than once, and one of them.';

create or replace function pgpipe_internal.check_key(stage regclass, key name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    names text := pgpipe_internal.column_list(key);
    bad bigint;
    twice record;
begin
    execute format('select count(*) from %s s where num_nulls(%s) > 0', stage,
                   pgpipe_internal.column_list(key, 's')) into bad;
    if bad > 0 then
        raise exception 'the key (%) is NULL in % of the rows', names, bad using errcode = 'PP010',
            hint = 'A key identifies every row: choose columns without NULLs.';
    end if;
    twice := pgpipe_internal.find_twice(stage, key);
    if twice.keys > 0 then
        raise exception
            'the key (%) is not unique: % of its values occur more than once, such as %', names,
            twice.keys, twice.example using errcode = 'PP010',
            hint = 'Name more columns in `key`, or load without one in mode append.';
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
    select (r.relkind = 'p' or not r.relhassubclass) and exists (
               select from pg_catalog.pg_index i
                where i.indrelid = r.oid and i.indisunique and i.indisvalid and i.indimmediate
                  and i.indpred is null and not exists (
                      select from generate_series(0, i.indnkeyatts - 1) p (n)
                        left join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum <> 0
                                                           and a.attnum = i.indkey[p.n]
                        left join pg_catalog.pg_collation c on c.oid = a.attcollation
                        left join pg_catalog.pg_opclass o on o.oid = i.indclass[p.n]
                        left join pg_catalog.pg_type t on t.oid = pgpipe_internal.base_type(a.atttypid)
                       where a.attname is null or a.attname <> all (key)
                          or not (coalesce(c.collisdeterministic, true)
                                  or i.indcollation[p.n] = a.attcollation)
                          or not (t.typnamespace = 'pg_catalog'::regnamespace
                                  or o.opcdefault and (o.opcintype = t.oid or o.opcintype = any (
                                      '{anyarray,anyenum,anyrange,anymultirange,record}'
                                      ::regtype[])))))
      from pg_catalog.pg_class r where r.oid = target
$$;
comment on function pgpipe_internal.is_unique(regclass, name[]) is
    'Whether an index sees to it that no two rows of the target have the same key.';

create or replace function pgpipe_internal.require_unique(target regclass, key name[], mode text)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    names text := pgpipe_internal.column_list(key);
    missing name := (select k from unnest(key) k where not pgpipe_internal.has_column(target, k) limit 1);
    bad bigint;
    twice record;
begin
    if missing is not null then
        execute format('select count(*) from (select from %s limit 1) r', target) into bad;
        if bad > 0 then
            raise exception '% has no column %, which is in the key', target, quote_ident(missing)
                using errcode = 'PP010',
                hint = 'Name columns that identify the rows that are there.';
        end if;
        return;
    end if;
    -- No staged key holds a NULL: an upsert keeps such rows, a snapshot could not delete them.
    if mode = 'snapshot' and exists (
           select from pg_catalog.pg_attribute a
            where a.attrelid = target and a.attname = any (key) and not a.attnotnull) then
        execute format('select count(*) from %s t where num_nulls(%s) > 0', target,
                       pgpipe_internal.column_list(key, 't')) into bad;
        if bad > 0 then
            raise exception 'the key (%) is NULL in % of the rows of %', names, bad, target
                using errcode = 'PP010',
                hint = 'Delete these rows, give them a key, or use mode upsert, which keeps them.';
        end if;
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
