-- requires: vector
-- Filter tables: a store's vectors once more, in half precision, beside the columns that searches are filtered by. The index of such a
-- column holds the vectors of the rows that pass side by side, where the store has each on a page of its own.
-- Applied once pgvector is installed.

create or replace function pgpipe_internal.require_filters(target regclass, columns name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wrong name;
begin
    perform pgpipe_internal.require_columns(target, columns);
    perform pgpipe_internal.require_kept(target, columns);
    select a.attname into wrong from pg_catalog.pg_attribute a join pg_catalog.pg_type y on y.oid = pgpipe_internal.base_type(a.atttypid)
     where a.attrelid = target and a.attname = any (columns) and (y.typcategory = 'A' or a.attname in ('chunk', 'vector')) limit 1;
    if found then
        raise exception 'searches cannot be filtered by an index on %', quote_ident(wrong) using errcode = 'PP003',
            hint = 'A column of an array type has several values in a row, and chunk and vector are names in use. '
                   'Such a column can be in a filter without being declared.';
    end if;
end
$$;
comment on function pgpipe_internal.require_filters(regclass, name[]) is
    'Raises PP002 for a column that the target lacks, PP003 for one that a filter table cannot hold.';

create or replace function pgpipe_internal.make_filter_table(e pgpipe.embedding, columns name[])
    returns regclass  volatile  set search_path = pg_catalog, pg_temp set work_mem = '128MB'  language plpgsql
as $$
declare
    widest constant int := 1200;  -- dimensions whose half vector fits into the row of an index, 2,704 bytes, with a key and a value
    made text := (select format('%I.%I', n.nspname, pgpipe_internal.derived_name(c.relname, '_filter'))
                    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = e.store);
    key text := pgpipe_internal.column_list(e.key_columns);
    copied text := pgpipe_internal.column_list(array(select c from unnest(columns) c where c <> all (e.key_columns)), 't');
    indexed name;
begin
    execute format('create table %s as select %s, s.chunk, s.vector::%I.halfvec(%s) as vector%s from %s s join %s t on %s', made,
                   pgpipe_internal.column_list(e.key_columns, 's'), pgpipe_internal.vector_schema(), e.dims, coalesce(', ' || copied, ''), e.store, e.target,
                   pgpipe_internal.same_key(e.target, e.key_columns, 's', 't'));
    execute format('alter table %s add primary key (%s, chunk), alter column vector set storage main, alter column vector set not null, '
                   'add foreign key (%s, chunk) references %s on update cascade on delete cascade', made, key, key, e.store);
    foreach indexed in array columns loop
        execute format('create index on %s (%I) include (%s)', made, indexed, pgpipe_internal.column_list(
            array(select c from unnest(e.key_columns) c where c <> indexed) || '{chunk}'::name[]
            || case when e.dims <= widest then '{vector}'::name[] end));
    end loop;
    execute format('alter table %s owner to %s', made,
                   (select c.relowner::regrole from pg_catalog.pg_class c where c.oid = e.store));
    execute format('analyze %s', made);
    return made::regclass;
end
$$;
comment on function pgpipe_internal.make_filter_table(pgpipe.embedding, name[]) is
    'Creates the filter table of an embedding with these columns, filled and indexed; it belongs to whom the store belongs to.';

create or replace function pgpipe_internal.suspend_filters(embedding_id int, reason text)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    update pgpipe.embedding e set filter_error = reason where e.embedding_id = suspend_filters.embedding_id;
    raise warning 'filtered searches leave the filter table of embedding % alone: %', embedding_id, reason
        using hint = 'Run `pgpipe reconcile`, or pgpipe.enable_filters with columns that can be kept.';
end
$$;
comment on function pgpipe_internal.suspend_filters(int, text) is
    'Takes a filter table out of service: it could not be kept equal, and the write to the target goes on.';

create or replace function pgpipe_internal.suspend_copy(embedding_id int, reason text)
    returns void  volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_store regclass := (select e.store from pgpipe.embedding e where e.embedding_id = suspend_copy.embedding_id);
begin
    perform pgpipe_internal.require_written(of_store);
    perform pgpipe_internal.suspend_filters(embedding_id, reason);
end
$$;
comment on function pgpipe_internal.suspend_copy(int, text) is
    'suspend_filters for those who write a store. Open to all as enqueue_keys is, and as closed to a transaction that wrote nothing there.';

create or replace function pgpipe_internal.copies_safely(e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- What could run on such a write: triggers, rules and policies, CHECKs and defaults, expressions of indexes, partitions and
    -- statistics; foreign keys from another table, which is written too; and the casts between two types, also those of foreign keys.
    select c.relkind = 'r' and not c.relispartition and not c.relhassubclass and not c.relhasrules and not c.relrowsecurity
           and not exists (select from pg_catalog.pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal)
           and not exists (
               select from pg_catalog.pg_constraint k
                where k.confrelid = c.oid
                   or k.conrelid = c.oid and (k.contype in ('c', 'x') or k.contype = 'f' and k.confrelid <> e.store))
           and (select count(*) from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'f') <= 1
           and not exists (select from pg_catalog.pg_statistic_ext s where s.stxrelid = c.oid)
           and not exists (select from pg_catalog.pg_attrdef d where d.adrelid = c.oid)
           and not exists (select from pg_catalog.pg_index i
                            where i.indrelid = c.oid and (i.indexprs is not null or i.indpred is not null))
           and not exists (
               select from unnest(e.key_columns || e.filters) k (name)
                where pgpipe_internal.column_type_of(e.target, k.name) is distinct from pgpipe_internal.column_type_of(c.oid, k.name)
                   or k.name = any (e.key_columns)
                      and pgpipe_internal.column_type_of(e.store, k.name) is distinct from pgpipe_internal.column_type_of(c.oid, k.name))
      from pg_catalog.pg_class c where c.oid = e.filter_table
$$;
comment on function pgpipe_internal.copies_safely(pgpipe.embedding) is
    'Whether writing the filter columns runs nothing that the owner of the filter table, or of a type, made.';

create or replace function pgpipe_internal.vector_copy(store regclass, out embedding_id int, out statement text)
    stable strict  security definer  set search_path = pg_catalog, pg_temp  language sql
as $$
    select e.embedding_id, format($sql$
            insert into %1$s (%2$s, chunk, %3$s) select %4$s, n.chunk, n.vector::%5$I.halfvec(%6$s)%7$s
              from new_rows n join %8$s t on %9$s
                on conflict (%2$s, chunk) do update set (%3$s) = row (%10$s)
            $sql$, e.filter_table, pgpipe_internal.column_list(e.key_columns), pgpipe_internal.column_list(c.copied), pgpipe_internal.column_list(e.key_columns, 'n'),
            pgpipe_internal.vector_schema(), e.dims, coalesce(', ' || pgpipe_internal.column_list(c.copied[2:], 't'), ''), e.target,
            pgpipe_internal.same_key(e.target, e.key_columns, 't', 'n'), pgpipe_internal.column_list(c.copied, 'excluded'))
      from pgpipe.embedding e
     cross join lateral (select '{vector}' || array(select f from unnest(e.filters) f where f <> all (e.key_columns)) as copied) c
     where e.store = vector_copy.store and e.filters <> '{}' and e.filter_error is null
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
    select * into copy from pgpipe_internal.vector_copy(tg_relid) c;
    if copy.statement is not null then
        begin
            execute copy.statement;
        exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded then
            perform pgpipe_internal.suspend_copy(copy.embedding_id, sqlerrm);
        end;
    end if;
    return null;
end
$$;
comment on function pgpipe_internal.copy_vectors() is
    'Trigger on a store: new vectors go into its filter table too, with the filter columns of their rows. It runs as the one who writes '
    'them.';

create or replace function pgpipe_internal.copy_filters()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    copied name[];
    changed text;
begin
    for e in select * from pgpipe.embedding x where x.target = tg_relid and x.filters <> '{}' and x.filter_error is null loop
        copied := array(select c from unnest(e.filters) c where c <> all (e.key_columns));
        continue when copied = '{}';  -- a key is changed by the foreign keys
        changed := format('(select n.* from new_rows n left join old_rows o on %s where o.%I is not distinct from null or %s) n',
                          pgpipe_internal.same_key(e.target, e.key_columns, 'n', 'o'), e.key_columns[1], pgpipe_internal.changed(copied, 'n', 'o'));
        if not pgpipe_internal.copies_safely(e) then
            perform pgpipe_internal.suspend_filters(e.embedding_id, 'it was altered, or the types of the target were');
            continue;
        end if;
        begin
            -- A worker that just writes a vector of such a row has read what was there before. Its job tells: either it holds it, and is
            -- waited for here, so that the next statement sees its vector; or it finds gen moved, and the row is embedded again.
            execute format('update pgpipe.job j set gen = j.gen + 1 from %s where j.embedding_id = $1 and j.key = %s', changed,
                           pgpipe_internal.key_json(e.target, e.key_columns, 'n')) using e.embedding_id;
            execute format('update %s f set (%s) = row (%s) from %s where %s', e.filter_table, pgpipe_internal.column_list(copied),
                           pgpipe_internal.column_list(copied, 'n'), changed, pgpipe_internal.same_key(e.target, e.key_columns, 'f', 'n'));
        exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded then
            perform pgpipe_internal.suspend_filters(e.embedding_id, sqlerrm);
        end;
    end loop;
    return null;
end
$$;
comment on function pgpipe_internal.copy_filters() is
    'Trigger on a target: filter columns that an UPDATE changed are changed in the filter tables. With its owner''s rights, because a '
    'writer of the target has none there; so only where copies_safely.';

create or replace function pgpipe_internal.repair_filters(embedding_id int)
    returns boolean  volatile strict  set search_path = pg_catalog, pg_temp set work_mem = '128MB'  language plpgsql
as $$
declare
    e pgpipe.embedding;
    differs boolean := true;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = repair_filters.embedding_id;
    if e.filters = '{}' then
        return false;
    elsif e.filter_error is null then
        execute format($sql$
            select exists (select from %1$s s join %2$s t on %3$s left join %4$s f on %5$s and f.chunk = s.chunk
                            where f.chunk is null or %6$s or f.vector operator(%7$I.<>) s.vector::%7$I.halfvec(%8$s))
            $sql$, e.store, e.target, pgpipe_internal.same_key(e.target, e.key_columns, 's', 't'), e.filter_table,
            pgpipe_internal.same_key(e.target, e.key_columns, 'f', 's'), pgpipe_internal.changed(e.filters, 'f', 't'),
            pgpipe_internal.vector_schema(), e.dims) into differs;
    end if;
    if differs then
        perform pgpipe_internal.suspend_filters(e.embedding_id, coalesce(e.filter_error, 'it differs from the store or the target'));
        if (select pg_has_role(c.relowner, 'usage') from pg_catalog.pg_class c where c.oid = e.store) then
            perform pgpipe.enable_filters(e.target, e.filters, e.name);
        end if;
    end if;
    return differs;
exception when data_exception or syntax_error_or_access_rule_violation or program_limit_exceeded or sqlstate 'PP002' then
    perform pgpipe_internal.suspend_filters(e.embedding_id, sqlerrm);
    return true;
end
$$;
comment on function pgpipe_internal.repair_filters(int) is
    'Compares a filter table with the store and the target. If it differs, as after a restore '
    'without triggers, the owner of the store makes it again. Searches leave it alone until then. '
    'Returns whether it differed.';

create or replace function pgpipe_internal.kept_filter(e pgpipe.embedding, filter jsonb)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Where the caller does not see all rows, or not the columns, the target itself must say so.
    select jsonb_object_agg(f.key, f.value)
      from jsonb_each(case when jsonb_typeof(filter) = 'object' and e.filters <> '{}' and e.filter_error is null then filter end) f
     where f.key = any (e.filters) and not row_security_active(e.target) and has_table_privilege(e.filter_table, 'select')
       and has_column_privilege(e.target, f.key, 'select')
$$;
comment on function pgpipe_internal.kept_filter(pgpipe.embedding, jsonb) is
    'The part of a filter that the filter table of an embedding can answer for the caller; null for none.';
