-- The indexes of a declared search: which are missing, and the statements that build them.

create or replace function pgpipe_internal.index_search(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    missing record;
begin
    for missing in select * from pgpipe_internal.missing_search_indexes(target) loop
        execute format('create index on %s using %s (%I)',
                       target, missing.method, missing.column_name);
    end loop;
end
$$;
comment on function pgpipe_internal.index_search(regclass) is
    'Builds the indexes that the declared search lacks: GIN on the search column, and one on the '
    'language column. Twice is a no-op.';

create or replace function pgpipe_internal.is_indexed(
    target regclass, column_name name, method name)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_index index
          join pg_catalog.pg_class class on class.oid = index.indexrelid
          join pg_catalog.pg_am access on access.oid = class.relam
          join pg_catalog.pg_attribute col
            on col.attrelid = index.indrelid and col.attnum = index.indkey[0]
         where index.indrelid = is_indexed.target and access.amname = is_indexed.method
           and col.attname = is_indexed.column_name
           and index.indisvalid and index.indpred is null)
$$;
comment on function pgpipe_internal.is_indexed(regclass, name, name) is
    'Whether a valid index of this method begins with the column and has all rows.';

create or replace function pgpipe_internal.missing_search_indexes(target regclass)
    returns table (column_name name, method name)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with declared as (  -- what is being filled goes first: it is what will be searched
        select filling.column_name, filling.language_column from pgpipe.search_fill filling
         where filling.target = missing_search_indexes.target
        union all
        select serving.column_name, serving.language_column from pgpipe.search serving
         where serving.target = missing_search_indexes.target
           and not exists (select from pgpipe.search_fill filling
                            where filling.target = serving.target)
    ), wanted as (
        select declared.column_name, 'gin'::name as method from declared
        union all  -- its values are read with each question
        select declared.language_column, 'btree' from declared
         where declared.language_column is not null
    )
    select wanted.column_name, wanted.method from wanted
     where not pgpipe_internal.is_indexed(target, wanted.column_name, wanted.method)
$$;
comment on function pgpipe_internal.missing_search_indexes(regclass) is
    'Columns, and methods, of the indexes that a declared search lacks.';

create or replace function pgpipe_internal.search_index_statements(target regclass)
    returns setof text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A partitioned table takes no index concurrently; its own is made of those that its
    -- partitions have.
    with part as (
        select class.oid::regclass as relation from pg_catalog.pg_class class
         where class.relkind = 'r'
           and class.oid in (
               select target union select leaf.relid from pg_catalog.pg_partition_tree(target) leaf)
    )
    select step.statement
      from pgpipe_internal.missing_search_indexes(target) missing
     cross join lateral (
           -- Left by a build that was cut off.
           select 1 as place,
                  format('drop index concurrently %s', index.indexrelid::regclass) as statement
             from part join pg_catalog.pg_index index on index.indrelid = part.relation
             join pg_catalog.pg_attribute col
               on col.attrelid = index.indrelid and col.attnum = index.indkey[0]
            where col.attname = missing.column_name and not index.indisvalid
              and index.indnatts = 1
           union all
           select 2, format('create index concurrently on %s using %s (%I)',
                            part.relation, missing.method, missing.column_name)
             from part
            where not pgpipe_internal.is_indexed(
                          part.relation, missing.column_name, missing.method)
           union all
           select 3, format('create index on %s using %s (%I)',
                            target, missing.method, missing.column_name)
             from pg_catalog.pg_class class where class.oid = target and class.relkind = 'p') step
     order by missing.column_name, step.place, step.statement
$$;
comment on function pgpipe_internal.search_index_statements(regclass) is
    'The statements that build the indexes a declared search lacks, without locking out writers. '
    'Each is run outside of a transaction.';
