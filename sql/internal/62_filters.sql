-- requires: vector
-- Filter tables: a store's vectors once more, in half precision, with columns that filters name.
-- The index of such a column holds the vectors of the rows that pass next to each other; in the
-- store each lies on a page of its own. Applied once pgvector is installed.
--
-- Two triggers keep a filter table equal (62_filter_copies.sql): new vectors come from the store
-- (copy_vectors, as who writes them), changed columns from the target (copy_filters). If one
-- cannot, suspend_filters takes the table out of service. Both are rendered, and name the operators
-- of the types that the columns had then. An owner could change a type to one with an implicit cast
-- of his own, which would run with the rights of the one who writes. So they compare the types
-- with those that they are rendered for.
--
-- What other files know of a filter table, and why:
-- * 30_store: is_filter_table, which lets the declaration be checked and dropped without
--   pgvector. A dropped embedding drops its table.
-- * 52_columns: a widened column of the target is widened in its copies too.
-- * 61_vector_search: kept_filter says which part of a filter the table answers; scan_is_exact
--   prices it, and kept_statement reads it.
-- * 81_grants: the table's owner and rights follow the store's.
-- * pgpipe/embed: a load declares filters, `pgpipe reconcile` calls repair_filters; `pgpipe doctor`
--   reads filter_error.

create or replace function pgpipe_internal.require_filters(target regclass, columns name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wrong name;
begin
    perform pgpipe_internal.require_columns(target, columns);
    perform pgpipe_internal.require_kept(target, columns);
    select col.attname into wrong from pg_catalog.pg_attribute col
      join pg_catalog.pg_type type on type.oid = pgpipe_internal.base_type(col.atttypid)
     where col.attrelid = target and col.attname = any (columns)
       and (type.typcategory = 'A' or col.attname in ('chunk', 'vector')) limit 1;
    if found then
        raise exception 'searches cannot be filtered by an index on %', quote_ident(wrong)
            using errcode = 'PP003',
            hint = 'A column of an array type has several values in a row, and chunk and vector '
                   'are names in use. Such a column can be in a filter without being declared.';
    end if;
end
$$;
comment on function pgpipe_internal.require_filters(regclass, name[]) is
    'Raises PP002 for a column that the target lacks, PP003 for one that a filter table cannot '
    'hold.';

create or replace function pgpipe_internal.make_filter_table(declared pgpipe.embedding)
    returns regclass
    volatile  set search_path = pg_catalog, pg_temp set work_mem = '128MB'  language plpgsql
as $$
declare
    parts constant jsonb := (
        select jsonb_build_object(
                   'made', format('%I.%I', schema.nspname,
                                  pgpipe_internal.derived_name(class.relname, '_filter')),
                   'store', declared.store, 'owner', class.relowner::regrole)
          from pg_catalog.pg_class class
          join pg_catalog.pg_namespace schema on schema.oid = class.relnamespace
         where class.oid = declared.store);
begin
    execute pgpipe_internal.fill($sql$
        create table {made} as
        select {store_key}, store.chunk, store.vector::{schema}.halfvec({dims}) as vector {copied}
          from {store} store join {target} row on {same_key}
        $sql$, parts - 'owner' || jsonb_build_object(
            'target', declared.target, 'dims', declared.dims,
            'store_key', pgpipe_internal.column_list(declared.key_columns, 'store'),
            'schema', quote_ident(pgpipe_internal.vector_schema()),
            'copied', ', ' || pgpipe_internal.column_list(
                          pgpipe_internal.copied_columns(declared), 'row'),
            'same_key', pgpipe_internal.same_key(
                declared.target, declared.key_columns, 'store', 'row')));
    execute pgpipe_internal.fill($sql$
        alter table {made}
            add primary key ({key}, chunk),
            alter column vector set storage main,
            alter column vector set not null,
            add foreign key ({key}, chunk) references {store} on update cascade on delete cascade
        $sql$, parts - 'owner'
               || jsonb_build_object('key', pgpipe_internal.column_list(declared.key_columns)));
    perform pgpipe_internal.index_filters(declared, (parts ->> 'made')::regclass);
    execute pgpipe_internal.fill(
        'alter table {made} owner to {owner}; analyze {made}', parts - 'store');
    return (parts ->> 'made')::regclass;
end
$$;
comment on function pgpipe_internal.make_filter_table(pgpipe.embedding) is
    'Creates the filter table of an embedding with its filters, filled and indexed. The owner of '
    'the store owns it.';

create or replace function pgpipe_internal.index_filters(declared pgpipe.embedding, made regclass)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- The half vector of so many dimensions fits into the row of an index, 2,704 bytes, with a key
    -- and a value.
    widest constant int := 1200;
    indexed name;
begin
    foreach indexed in array declared.filters loop
        execute format(
            'create index on %s (%I) include (%s)', made, indexed, pgpipe_internal.column_list(
                array(select col from unnest(declared.key_columns) col where col <> indexed)
                || '{chunk}'::name[]
                || case when declared.dims <= widest then '{vector}'::name[] end));
    end loop;
end
$$;
comment on function pgpipe_internal.index_filters(pgpipe.embedding, regclass) is
    'Gives each filter column of a filter table its index, which holds the key and the vector.';

create or replace function pgpipe_internal.keep_filters(declared pgpipe.embedding)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    keeper constant regrole := (
        select routine.proowner from pg_catalog.pg_proc routine
         where routine.oid = 'pgpipe_internal.render_triggers(int)'::regprocedure);
    writers text;
    event text;
begin
    execute format('grant select, update on %s to %s', declared.filter_table, keeper);
    -- Vectors are copied by those who write them.
    select string_agg(distinct granted.grantee::regrole::text, ', ') into writers
      from pg_catalog.pg_class class cross join lateral aclexplode(class.relacl) granted
     where class.oid = declared.store and granted.privilege_type = 'INSERT' and granted.grantee <> 0
       and granted.grantee <> class.relowner;
    if writers is not null then
        execute format('grant select, insert, update on %s to %s', declared.filter_table, writers);
    end if;
    perform pgpipe_internal.watch(declared.target);
    perform pgpipe_internal.lend_triggers(declared.embedding_id, true);
    foreach event in array '{insert,update}'::text[] loop
        execute format('create or replace trigger pgpipe_filters_%1$s after %1$s on %2$s '
                       'referencing new table as new_rows for each statement '
                       'execute function pgpipe_target.copy_vectors_%3$s()',
                       event, declared.store, declared.embedding_id);
    end loop;
    perform pgpipe_internal.lend_triggers(declared.embedding_id, false);
end
$$;
comment on function pgpipe_internal.keep_filters(pgpipe.embedding) is
    'Puts the triggers on target and store that keep a filter table equal, and grants what they '
    'need.';

create or replace function pgpipe_internal.kept_filter(declared pgpipe.embedding, filter jsonb)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- If the caller does not see all rows, or not the columns, the target itself must say so.
    select jsonb_object_agg(asked.key, asked.value)
      from jsonb_each(case when jsonb_typeof(filter) = 'object' and declared.filters <> '{}'
                                and declared.filter_error is null then filter end) asked
     where case when asked.key = any (declared.filters)  -- "or" is not a column to ask about
                then not row_security_active(declared.target)
                     and has_table_privilege(declared.filter_table, 'select')
                     and has_column_privilege(declared.target, asked.key, 'select') end
$$;
comment on function pgpipe_internal.kept_filter(pgpipe.embedding, jsonb) is
    'The part of a filter that the filter table of an embedding can answer for the caller; null '
    'for none.';

create or replace function pgpipe_internal.kept_statement(
    declared pgpipe.embedding, filter jsonb, kept jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Half the precision may swap neighbours: some more than are wanted are compared in full.
    select pgpipe_internal.fill($sql$
        select {key_columns}, copy.chunk from {filter_table} copy {rows} where {condition}
         order by (copy.vector operator({schema}.<=>) $1::{schema}.halfvec) + 0 limit $2 + 20
        $sql$, jsonb_build_object(
            'key_columns', pgpipe_internal.column_list(declared.key_columns, 'copy'),
            'filter_table', declared.filter_table,
            'schema', quote_ident(pgpipe_internal.vector_schema()),
            'condition', pgpipe_internal.filter_condition(declared.target, 'copy', kept),
            -- What the filter table lacks, the target must say.
            'rows', case when rest <> '{}' then format(
                'join %s row on %s and %s', declared.target,
                pgpipe_internal.same_key(declared.target, declared.key_columns, 'row', 'copy'),
                pgpipe_internal.filter_condition(declared.target, 'row', rest)) end))
      from (select filter - array(select jsonb_object_keys(kept)) as rest) part
$$;
comment on function pgpipe_internal.kept_statement(pgpipe.embedding, jsonb, jsonb) is
    'SQL text: the keys of the $2 chunks, and some more, that are nearest to the vector $1 in the '
    'filter table, which answers the part `kept` of the filter.';
