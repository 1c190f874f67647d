-- The indexes of a declared search: which are missing, and the statements that build them.

create or replace function pgpipe_internal.index_search(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    missing record;
begin
    for missing in select * from pgpipe_internal.missing_search_indexes(target) loop
        execute format('create index on %s using %s (%s)',
                       target, missing.method, missing.key);
    end loop;
end
$$;
comment on function pgpipe_internal.index_search(regclass) is
    'Builds the indexes that the declared search lacks: GIN on the search column, one on the '
    'language column, and in a large table one of impacts. Twice is a no-op.';

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

drop function if exists pgpipe_internal.missing_search_indexes(regclass);
create or replace function pgpipe_internal.missing_search_indexes(target regclass)
    returns table (column_name name, method name, key text)
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
    select wanted.column_name, wanted.method, quote_ident(wanted.column_name) from wanted
     where not pgpipe_internal.is_indexed(target, wanted.column_name, wanted.method)
    union all
    select wanted.column_name, wanted.method, pgpipe_internal.impacts_expression(
               wanted.column_name, counted.mean_length)
      from wanted join pgpipe.search counted on counted.target = missing_search_indexes.target
     where wanted.method = 'gin' and counted.mean_length > 0
       and counted.documents > (pgpipe_internal.ranking()).match_limit
       and pgpipe_internal.impacts_index(counted.target, wanted.column_name) is null
$$;
comment on function pgpipe_internal.missing_search_indexes(regclass) is
    'The indexes that a declared search lacks: of which column, by which method, and the SQL text '
    'of what is indexed. Impacts are indexed once words are counted, if rows are too many to be '
    'all ranked.';

create or replace function pgpipe_internal.cut_off_indexes(target regclass, column_name name)
    returns setof regclass  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select index.indexrelid::regclass from pg_catalog.pg_index index
     where index.indrelid = target and index.indnatts = 1 and not index.indisvalid
       and (pg_get_indexdef(index.indexrelid, 1, false) = quote_ident(column_name)
            or pg_get_indexdef(index.indexrelid, 1, false) ^@ format(
                   'pgpipe_internal.impacts_1(%I, ', column_name))
$$;
comment on function pgpipe_internal.cut_off_indexes(regclass, name) is
    'Indexes of a search column whose build was cut off.';

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
           select 1 as place, format('drop index concurrently %s', cut_off) as statement
             from part cross join pgpipe_internal.cut_off_indexes(
                  part.relation, missing.column_name) cut_off
           union all
           select 2, format('create index concurrently on %s using %s (%s)',
                            part.relation, missing.method, missing.key)
             from part
            where case when missing.key = quote_ident(missing.column_name)
                       then not pgpipe_internal.is_indexed(
                                    part.relation, missing.column_name, missing.method)
                       else pgpipe_internal.impacts_index(
                                part.relation, missing.column_name) is null end
           union all
           select 3, format('create index on %s using %s (%s)',
                            target, missing.method, missing.key)
             from pg_catalog.pg_class class where class.oid = target and class.relkind = 'p') step
     order by missing.column_name, missing.key, step.place, step.statement
$$;
comment on function pgpipe_internal.search_index_statements(regclass) is
    'The statements that build the indexes a declared search lacks, without locking out writers. '
    'Each is run outside of a transaction.';
