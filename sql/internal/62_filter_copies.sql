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

create or replace function pgpipe_internal.vector_copy(
    store regclass, out embedding_id int, out statement text)
    stable strict  security definer  set search_path = pg_catalog, pg_temp  language sql
as $$
    select declared.embedding_id, pgpipe_internal.fill($sql$
        insert into {filter_table} ({key}, chunk, {copied})
        select {key_of_written}, written.chunk, written.vector::{schema}.halfvec({dims})
               {copied_of_row}
          from new_rows written join {target} row on {same_key}
            on conflict ({key}, chunk) do update set ({copied}) = row ({copied_of_excluded})
        $sql$, jsonb_build_object(
            'filter_table', declared.filter_table, 'target', declared.target, 'dims', declared.dims,
            'schema', quote_ident(pgpipe_internal.vector_schema()),
            'key', pgpipe_internal.column_list(declared.key_columns),
            'key_of_written', pgpipe_internal.column_list(declared.key_columns, 'written'),
            'same_key', pgpipe_internal.same_key(
                declared.target, declared.key_columns, 'row', 'written'),
            'copied', pgpipe_internal.column_list('{vector}' || copied),
            'copied_of_row', ', ' || pgpipe_internal.column_list(copied, 'row'),
            'copied_of_excluded', pgpipe_internal.column_list('{vector}' || copied, 'excluded')))
      from pgpipe.embedding declared cross join pgpipe_internal.copied_columns(declared) copied
     where declared.store = vector_copy.store and declared.filters <> '{}'
       and declared.filter_error is null
$$;
comment on function pgpipe_internal.vector_copy(regclass) is
    'SQL text that copies new vectors of a store into its filter table. It composes text and does '
    'not run it. It is open to all, because a key that changes is changed in the store by its '
    'owner.';

create or replace function pgpipe_internal.copy_vectors()
    returns trigger  set search_path = pg_catalog, pg_temp set jit = off  language plpgsql
as $$
declare
    copy record;
begin
    select * into copy from pgpipe_internal.vector_copy(tg_relid);
    if copy.statement is not null then
        begin
            execute copy.statement;
        exception when data_exception or syntax_error_or_access_rule_violation
                       or program_limit_exceeded then
            perform pgpipe_internal.suspend_copy(copy.embedding_id, sqlerrm);
        end;
    end if;
    return null;
end
$$;
comment on function pgpipe_internal.copy_vectors() is
    'Trigger on a store: new vectors go into its filter table too, with the filter columns of '
    'their rows. It runs as the one who writes them.';

create or replace function pgpipe_internal.column_copy(
    declared pgpipe.embedding, out of_jobs text, out of_columns text)
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A worker that just writes a vector of such a row has read what was there before. Its job
    -- tells: either it holds it, and is waited for here, so that the next statement sees its
    -- vector; or it finds gen moved, and the row is embedded again.
    select pgpipe_internal.fill(
               'update pgpipe.job job set gen = job.gen + 1 from {changed} '
               'where job.embedding_id = {embedding} and job.key = {key}', jsonb_build_object(
                   'changed', changed, 'embedding', declared.embedding_id,
                   'key', pgpipe_internal.key_json(
                              declared.target, declared.key_columns, 'after'))),
           pgpipe_internal.fill(
               'update {filter_table} copy set ({copied}) = row ({copied_of_after}) '
               'from {changed} where {same_key}', jsonb_build_object(
                   'filter_table', declared.filter_table, 'changed', changed,
                   'copied', pgpipe_internal.column_list(copied),
                   'copied_of_after', pgpipe_internal.column_list(copied, 'after'),
                   'same_key', pgpipe_internal.same_key(
                       declared.target, declared.key_columns, 'copy', 'after')))
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
comment on function pgpipe_internal.column_copy(pgpipe.embedding) is
    'SQL texts that copy changed columns of a target into a filter table: one moves the jobs of '
    'their rows, one writes them.';

create or replace function pgpipe_internal.copy_filters()
    returns trigger
    security definer  set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    declared pgpipe.embedding;
    copy record;
begin
    for declared in select * from pgpipe.embedding known
              where known.target = tg_relid and known.filters <> '{}'
                and known.filter_error is null loop
        -- A key that changed is another row.
        continue when pgpipe_internal.copied_columns(declared) = '{}';
        if not pgpipe_internal.copies_safely(declared) then
            perform pgpipe_internal.suspend_filters(
                declared.embedding_id, 'it was altered, or the types of the target were');
            continue;
        end if;
        begin
            copy := pgpipe_internal.column_copy(declared);
            execute copy.of_jobs;
            execute copy.of_columns;
        exception when data_exception or syntax_error_or_access_rule_violation
                       or program_limit_exceeded then
            perform pgpipe_internal.suspend_filters(declared.embedding_id, sqlerrm);
        end;
    end loop;
    return null;
end
$$;
comment on function pgpipe_internal.copy_filters() is
    'Trigger on a target: filter columns that an UPDATE changed are changed in the filter tables. '
    'With its owner''s rights, because a writer of the target has none there; so only if '
    'copies_safely.';

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
