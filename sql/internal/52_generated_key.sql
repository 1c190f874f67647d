-- A generated key, and the key that is configured for its target later and takes its place.

create or replace function pgpipe_internal.why_generated_key_stays(target regclass, key name[])
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(
        (select 'it is distributed' where pgpipe_internal.is_distributed(target)),
        (select format('only its owner may change that: load once as %I, or as a member of it',
                       pg_catalog.pg_get_userbyid(class.relowner))
          where not pg_has_role(class.relowner, 'usage')),
        (select format('the vectors of %s are kept by it: to change that, call '
                       'pgpipe.disable_embedding(%L, %L), load, and have the rows embedded again',
                       e.store, target, e.name)
           from pgpipe.embedding e where e.target = class.oid order by e.embedding_id limit 1),
        (select format('the foreign key %I of %s refers to it', link.conname,
                       link.conrelid::regclass)
           from pg_catalog.pg_constraint link
          where link.contype = 'f' and link.confrelid = class.oid
            and link.conindid = made.conindid limit 1),
        (select format('%s depends on it', known.dependent)
           from pg_catalog.pg_depend used
          cross join lateral pgpipe_internal.names_column(used.classid, used.objid)
                known (dependent)
          where used.refclassid = 'pg_catalog.pg_constraint'::regclass
            and used.refobjid = made.oid and known.dependent is not null limit 1),
        (select 'the table is partitioned or has child tables'
          where class.relkind <> 'r' or class.relhassubclass or class.relispartition),
        (select format('the key (%s) is NULL in %s of its rows',
                       pgpipe_internal.column_list(key), found.nulls)
           from (select pgpipe_internal.count_nulls(target, key) as nulls) found
          where found.nulls > 0))
      from pg_catalog.pg_class class
      join pg_catalog.pg_constraint made on made.conrelid = class.oid and made.contype = 'p'
     where class.oid = target
$$;
comment on function pgpipe_internal.why_generated_key_stays(regclass, name[]) is
    'Why pgpipe_row has to stay the primary key of a target, and what to do; null if a key may '
    'take its place.';

create or replace function pgpipe_internal.key_index_name(target regclass, key name[])
    returns name  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.derived_name(class.relname, '_' || left(md5(key::text), 8) || '_key')
      from pg_catalog.pg_class class where class.oid = target
$$;
comment on function pgpipe_internal.key_index_name(regclass, name[]) is
    'The name of the index that becomes the primary key.';

create or replace function pgpipe_internal.key_index_statements(target regclass, key name[])
    returns setof text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with wanted as (
        select class.relnamespace::regnamespace as home,
               pgpipe_internal.key_index_name(target, key) as name
          from pg_catalog.pg_class class where class.oid = target
    ), known as (
        select index.indexrelid::regclass as name
          from wanted
          join pg_catalog.pg_index index
            on index.indrelid = target
           and index.indexrelid = to_regclass(format('%s.%I', wanted.home, wanted.name))
    )
    select format('drop index concurrently %s', known.name) from known
    union all
    select format('create unique index concurrently %I on %s (%s)', wanted.name, target,
                  pgpipe_internal.column_list(key))
      from wanted
$$;
comment on function pgpipe_internal.key_index_statements(regclass, name[]) is
    'The statements that drop what is left of the index of a key, and that build it, without '
    'locking out writers. Each is run outside of a transaction.';

create or replace function pgpipe_internal.adopt_key(target regclass, key name[])
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    made name := (select known.conname from pg_catalog.pg_constraint known
                   where known.conrelid = target and known.contype = 'p');
begin
    if pgpipe_internal.key_columns(target) <> '{pgpipe_row}'  -- somebody did it meanwhile
       or not exists (  -- it could not be built
           select from pg_catalog.pg_index index
             join pg_catalog.pg_class built on built.oid = index.indexrelid
            where index.indrelid = target and index.indisvalid
              and built.relname = pgpipe_internal.key_index_name(target, key)) then
        return;
    end if;
    execute format('alter table %s drop constraint %I, add constraint %2$I primary key '
                   'using index %I', target, made, pgpipe_internal.key_index_name(target, key));
    if not exists (select from pgpipe_internal.column_dependents(target) used
                    where used.column_name = 'pgpipe_row')
       and not exists (select from pg_catalog.pg_index index
                         join pg_catalog.pg_attribute item on item.attrelid = index.indrelid
                          and item.attname = 'pgpipe_row'
                          and item.attnum = any (index.indkey::int2[])
                        where index.indrelid = target) then
        execute format('alter table %s drop column pgpipe_row', target);
    end if;
end
$$;
comment on function pgpipe_internal.adopt_key(regclass, name[]) is
    'Makes a key, whose index is built, the primary key in the place of pgpipe_row. That column '
    'goes if nothing depends on it.';
