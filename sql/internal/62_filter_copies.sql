-- requires: vector
-- Filter tables, kept equal: what triggers copy, and how a table that differs is made again.

create or replace function pgpipe_internal.copied_columns(declared pgpipe.embedding)
    returns name[]  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select col from unnest(declared.filters) col
                  where col <> all (declared.key_columns))
$$;
comment on function pgpipe_internal.copied_columns(pgpipe.embedding) is
    'The filter columns that are not in the key, which a filter table has anyway.';

create or replace function pgpipe_internal.suspend_filters(embedding_id int, reason text)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    update pgpipe.embedding declared set filter_error = reason
     where declared.embedding_id = suspend_filters.embedding_id;
    raise warning 'filtered searches leave the filter table of embedding % alone: %',
        embedding_id, reason using hint = 'Run `pgpipe reconcile`, or pgpipe.enable_filters with '
                                          'columns that can be kept.';
end
$$;
comment on function pgpipe_internal.suspend_filters(int, text) is
    'Takes a filter table out of service: it could not be kept equal, and the write to the target '
    'goes on.';

create or replace function pgpipe_internal.suspend_copy(embedding_id int, reason text)
    returns void
    volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.require_written((
        select declared.store from pgpipe.embedding declared
         where declared.embedding_id = suspend_copy.embedding_id));
    perform pgpipe_internal.suspend_filters(embedding_id, reason);
end
$$;
comment on function pgpipe_internal.suspend_copy(int, text) is
    'suspend_filters for those who write a store. Open to all, for triggers call it, and closed to '
    'a transaction that wrote nothing there.';

create or replace function pgpipe_internal.copies_safely(declared pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- What could run on such a write: triggers, rules and policies, CHECKs and defaults,
    -- expressions of indexes, partitions and statistics; foreign keys from another table, which is
    -- written too; and the casts between two types, also those of foreign keys.
    select made.relkind = 'r' and not made.relispartition and not made.relhassubclass
           and not made.relhasrules and not made.relrowsecurity
           and not exists (select from pg_catalog.pg_trigger fired
                            where fired.tgrelid = made.oid and not fired.tgisinternal)
           and not exists (
               select from pg_catalog.pg_constraint rule
                where rule.confrelid = made.oid
                   or rule.conrelid = made.oid
                      and (rule.contype in ('c', 'x')
                           or rule.contype = 'f' and rule.confrelid <> declared.store))
           and (select count(*) from pg_catalog.pg_constraint rule
                 where rule.conrelid = made.oid and rule.contype = 'f') <= 1
           and not exists (select from pg_catalog.pg_statistic_ext counted
                            where counted.stxrelid = made.oid)
           and not exists (select from pg_catalog.pg_attrdef computed
                            where computed.adrelid = made.oid)
           and not exists (
               select from pg_catalog.pg_index index
                where index.indrelid = made.oid
                  and (index.indexprs is not null or index.indpred is not null))
           and not exists (
               select from unnest(declared.key_columns || declared.filters) col (name)
                cross join pgpipe_internal.column_type_of(made.oid, col.name) type
                where type is distinct from
                      pgpipe_internal.column_type_of(declared.target, col.name)
                   or col.name = any (declared.key_columns)
                      and type is distinct from
                          pgpipe_internal.column_type_of(declared.store, col.name))
      from pg_catalog.pg_class made where made.oid = declared.filter_table
$$;
comment on function pgpipe_internal.copies_safely(pgpipe.embedding) is
    'Whether writing the filter columns runs nothing that the owner of the filter table, or of a '
    'type, made.';

create or replace function pgpipe_internal.copied_types(declared pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when pgpipe_internal.is_trusted_type(
                         pgpipe_internal.column_type_of(declared.store, 'vector'))
                     and bool_and(coalesce(
                         seen.type = copied.type and stored.type in (0, seen.type), false))
           then string_agg(concat(quote_ident(col.name), ' ', seen.type::regtype), ', '
                           order by col.name) end
      from (select distinct named from unnest(declared.key_columns || declared.filters) named
           ) col (name)
     cross join pgpipe_internal.column_type_of(declared.target, col.name) seen (type)
     cross join pgpipe_internal.column_type_of(declared.filter_table, col.name) copied (type)
     cross join lateral (
           select case when col.name = any (declared.key_columns)
                  then pgpipe_internal.column_type_of(declared.store, col.name) else 0 end
          ) stored (type)
$$;
comment on function pgpipe_internal.copied_types(pgpipe.embedding) is
    'The types of the columns that a filter table copies; null if target, store and filter table '
    'have different ones. A statement that is rendered for them would cast others.';

create or replace function pgpipe_internal.copied_embedding(embedding_id int, written regclass)
    returns pgpipe.embedding
    stable strict  security definer  set search_path = pg_catalog, pg_temp  language sql
as $$
    select declared.* from pgpipe.embedding declared
     where declared.embedding_id = copied_embedding.embedding_id
       and written in (declared.target, declared.store)
       and declared.filters <> '{}' and declared.filter_error is null
$$;
comment on function pgpipe_internal.copied_embedding(int, regclass) is
    'The embedding whose filter table follows what is written to its target or store; null if it '
    'is out of service. Open to all, because a key that changes is changed in the store by its '
    'owner; everybody may read the declaration.';

create or replace function pgpipe_internal.vector_copy_parts(declared pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
               'target', declared.target, 'dims', declared.dims,
               'schema', quote_ident(pgpipe_internal.vector_schema()),
               'key', pgpipe_internal.column_list(declared.key_columns),
               'key_of_written', pgpipe_internal.column_list(declared.key_columns, 'written'),
               'same_key', pgpipe_internal.same_key(
                   declared.target, declared.key_columns, 'row', 'written'),
               'copied', pgpipe_internal.column_list('{vector}' || copied),
               'copied_of_row', ', ' || pgpipe_internal.column_list(copied, 'row'),
               'copied_of_excluded',
                   pgpipe_internal.column_list('{vector}' || copied, 'excluded'))
      from pgpipe_internal.copied_columns(declared) copied
$$;
comment on function pgpipe_internal.vector_copy_parts(pgpipe.embedding) is
    'The parts of the template `copy_vectors` that it has alone.';

create or replace function pgpipe_internal.column_copy_parts(declared pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A worker that just writes a vector of such a row has read what was there before. Its job
    -- tells: either it holds it, and is waited for here, so that the next statement sees its
    -- vector; or it finds gen moved, and the row is embedded again.
    select jsonb_build_object(
               'move_jobs', pgpipe_internal.fill(
                   'update pgpipe.job job set gen = job.gen + 1 from {changed} '
                   'where job.embedding_id = {embedding} and job.key = {key}', jsonb_build_object(
                       'changed', changed, 'embedding', declared.embedding_id,
                       'key', pgpipe_internal.key_json(
                                  declared.target, declared.key_columns, 'after'))),
               'copy_columns', pgpipe_internal.fill(
                   'update {filter_table} copy set ({copied}) = row ({copied_of_after}) '
                   'from {changed} where {same_key}', jsonb_build_object(
                       'filter_table', declared.filter_table, 'changed', changed,
                       'copied', pgpipe_internal.column_list(copied),
                       'copied_of_after', pgpipe_internal.column_list(copied, 'after'),
                       'same_key', pgpipe_internal.same_key(
                           declared.target, declared.key_columns, 'copy', 'after'))))
      from pgpipe_internal.copied_columns(declared) copied
     cross join pgpipe_internal.fill(
               '(select after.* from new_rows after left join old_rows before on {same_key} '
               'where before.{first_key} is not distinct from null or {differs}) after',
               jsonb_build_object(
                   'same_key', pgpipe_internal.same_key(
                       declared.target, declared.key_columns, 'after', 'before'),
                   'first_key', quote_ident(declared.key_columns[1]),
                   'differs', pgpipe_internal.changed(copied, 'after', 'before'))) changed
$$;
comment on function pgpipe_internal.column_copy_parts(pgpipe.embedding) is
    'The parts of the template `copy_filters` that it has alone: SQL texts that copy changed '
    'columns of a target into a filter table. One moves the jobs of their rows, one writes them.';

create or replace function pgpipe_internal.copy_function(
    declared pgpipe.embedding, template text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.render(template, case template
               when 'copy_vectors' then pgpipe_internal.vector_copy_parts(declared)
               else pgpipe_internal.column_copy_parts(declared) end
           || jsonb_build_object(
                  'name', template || '_' || declared.embedding_id,
                  'embedding', declared.embedding_id, 'filter_table', declared.filter_table,
                  'types', quote_literal(pgpipe_internal.copied_types(declared))))
     where pgpipe_internal.copied_types(declared) is not null
       and (template = 'copy_vectors' or pgpipe_internal.copied_columns(declared) <> '{}')
$$;
comment on function pgpipe_internal.copy_function(pgpipe.embedding, text) is
    'SQL text: makes the trigger function that a template becomes, which keeps a filter table '
    'equal. Null if there is nothing to copy, or if a statement would cast the values: then what '
    'stands takes the table out of service.';

create or replace function pgpipe_internal.filters_differ(declared pgpipe.embedding)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    differ boolean;
begin
    execute pgpipe_internal.fill($sql$
        select exists (
            select from {store} store join {target} row on {same_row}
              left join {filter_table} copy on {same_copy} and copy.chunk = store.chunk
             where copy.chunk is null or {changed}
                or copy.vector operator({schema}.<>) store.vector::{schema}.halfvec({dims}))
        $sql$, jsonb_build_object(
            'store', declared.store, 'target', declared.target,
            'filter_table', declared.filter_table, 'dims', declared.dims,
            'same_row', pgpipe_internal.same_key(
                declared.target, declared.key_columns, 'store', 'row'),
            'same_copy', pgpipe_internal.same_key(
                declared.target, declared.key_columns, 'copy', 'store'),
            'changed', pgpipe_internal.changed(declared.filters, 'copy', 'row'),
            'schema', quote_ident(pgpipe_internal.vector_schema()))) into differ;
    return differ;
end
$$;
comment on function pgpipe_internal.filters_differ(pgpipe.embedding) is
    'Whether a filter table differs from the store or the target.';

create or replace function pgpipe_internal.repair_filters(embedding_id int)
    returns boolean
    volatile strict  set search_path = pg_catalog, pg_temp set work_mem = '128MB'  language plpgsql
as $$
declare
    declared pgpipe.embedding;
begin
    select * into strict declared from pgpipe.embedding known
     where known.embedding_id = repair_filters.embedding_id;
    if declared.filters = '{}'
       or declared.filter_error is null and not pgpipe_internal.filters_differ(declared) then
        return false;
    end if;
    perform pgpipe_internal.suspend_filters(
        declared.embedding_id,
        coalesce(declared.filter_error, 'it differs from the store or the target'));
    if pgpipe_internal.owns(declared.store) then
        perform pgpipe.enable_filters(declared.target, declared.filters, declared.name);
    end if;
    return true;
exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded
               or sqlstate 'PP002' then
    perform pgpipe_internal.suspend_filters(declared.embedding_id, sqlerrm);
    return true;
end
$$;
comment on function pgpipe_internal.repair_filters(int) is
    'Compares a filter table with the store and the target. If it differs, as after a restore '
    'without triggers, the owner of the store makes it again. Searches leave it alone until then. '
    'Returns whether it differed.';
