-- The merge: a target's columns brought up to the files', then only the rows that differ, written by key.

create or replace function pgpipe.execute_in(path text, statement text)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    rows bigint;
begin
    perform set_config('search_path', path, true);
    execute statement;
    get diagnostics rows = row_count;
    return rows;
end
$$;
comment on function pgpipe.execute_in(text, text) is
    'Executes a statement that fires a target''s own triggers, which find their tables by the search_path of who loads. The statement '
    'itself names everything in full. Returns how many rows it wrote.';

create or replace function pgpipe.evolve(target regclass, added jsonb, widened jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    change record;
    widened_table regclass;
begin
    for change in select * from jsonb_to_recordset(added) c (name text, type text) loop
        execute format('alter table %s add column %I %s', target, change.name, change.type);
    end loop;
    for change in select * from jsonb_to_recordset(widened) c (name text, type text) loop
        -- A store repeats the key, a filter table the key and more: with the old type they could not take the new values.
        for widened_table in
            select target
            union all select e.store from pgpipe.embedding e where e.target = evolve.target and change.name = any (e.key_columns)
            union all select e.filter_table from pgpipe.embedding e
                       where e.target = evolve.target and e.filter_error is null
                         and change.name = any (e.filters || case when e.filters <> '{}' then e.key_columns else '{}' end)
        loop
            execute format('alter table %s alter column %I type %s', widened_table, change.name, change.type);
        end loop;
    end loop;
end
$$;
comment on function pgpipe.evolve(regclass, jsonb, jsonb) is
    'Adds columns, NULL in every row, and widens types, [{"name", "type"}] each, also of their copies in stores and filter tables. A '
    'widened column rewrites the table.';

create or replace function pgpipe.add_columns(target regclass, stage regclass, added jsonb, key name[], mode text,
    path text default pg_catalog.current_setting('search_path'))
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp set work_mem = '128MB'  language plpgsql
as $$
declare
    change record;
    names name[] := array(select c ->> 'name' from jsonb_array_elements(added) with ordinality a (c, n) order by n);
    common text;
begin
    for change in select * from jsonb_to_recordset(added) c (name text, type text) loop
        -- A default that is there when the column is added is kept in the catalogue and costs no row a rewrite. In a snapshot every
        -- row that stays is staged, so its most common value is right for most rows and is corrected in the others.
        if mode = 'snapshot' then
            execute format('select min(%1$I::text) from %2$s group by %1$I order by count(*) desc limit 1', change.name, stage) into common;
        end if;
        execute format('alter table %s add column %I %s default %L', target, change.name, change.type, common);
        execute format('alter table %s alter column %I drop default', target, change.name);
    end loop;
    return pgpipe.execute_in(path, format('update %s t set (%s) = row (%s) from %s s where %s and (%s)',
        target, pgpipe.column_list(names), pgpipe.column_list(names, 's'), stage, pgpipe.same_key(target, key, 't', 's'),
        pgpipe.differ(target, names, 't', 's')));
end
$$;
comment on function pgpipe.add_columns(regclass, regclass, jsonb, name[], text, text) is
    'Adds columns to a target and gives them their staged values. The target''s triggers run with the search_path `path`, the caller''s. '
    'Returns how many rows had to be written for it.';

create or replace function pgpipe.is_unique(target regclass, key name[])
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select (c.relkind = 'p' or not c.relhassubclass) and exists (
               select from pg_catalog.pg_index i
                where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
                  and not exists (select from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k (n)
                                    left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.n and k.n <> 0
                                   where a.attname is null or a.attname <> all (key)))
      from pg_catalog.pg_class c where c.oid = target
$$;
comment on function pgpipe.is_unique(regclass, name[]) is 'Whether an index sees to it that no two rows of the target have the same key.';

create or replace function pgpipe.find_violations(target regclass, stage regclass, columns name[], key name[])
    returns table (part bigint, row_number bigint, rule name, of_columns name[])
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known record;
    shown text;
begin
    -- The row as it would become: a column that the files lack keeps the value of the row that is there.
    select string_agg(case when a.attname = any (columns) then format('s.%1$I as %1$I', a.attname)
                           when a.attgenerated <> '' or key = '{}' then format('null::%s as %I', t.type_name, a.attname)
                           else format('t.%1$I as %1$I', a.attname) end, ', ' order by a.attnum)
      into shown
      from pg_catalog.pg_attribute a, pgpipe.column_type(a.atttypid, a.atttypmod) t
     where a.attrelid = target and a.attnum > 0 and not a.attisdropped;
    for known in
        select c.conname, pg_catalog.pg_get_expr(c.conbin, c.conrelid) as condition,
               array(select a.attname from pg_catalog.pg_attribute a where a.attrelid = target and a.attnum = any (c.conkey)) as of_columns
          from pg_catalog.pg_constraint c where c.conrelid = target and c.contype = 'c' order by c.conname
    loop
        return query execute format($sql$
            select r.pgpipe_part, r.pgpipe_number, %L::name, %L::name[]
              from (select s.pgpipe_part, s.pgpipe_number, %s from %s s %s) r where not (%s) $sql$,
            known.conname, known.of_columns, shown, stage,
            case when key = '{}' then '' else format('left join %s t on %s', target, pgpipe.same_key(target, key, 't', 's')) end,
            known.condition);
    end loop;
end
$$;
comment on function pgpipe.find_violations(regclass, regclass, name[], name[]) is
    'The staged rows that a CHECK of the target refuses, by the pgpipe_part and pgpipe_number that were staged with them.';

create or replace function pgpipe.merge(target regclass, stage regclass, columns name[], key name[], mode text,
    rejected jsonb, path text default pg_catalog.current_setting('search_path'),
    out inserted bigint, out updated bigint, out deleted bigint, out unchanged bigint)
    volatile  set search_path = pg_catalog, pg_temp
    set work_mem = '128MB'  set default_statistics_target = 10  set parallel_tuple_cost = 0
    language plpgsql
as $$
declare
    others name[] := array(select c from unnest(columns) with ordinality k (c, n) where c <> all (key) order by n);
    difference text := format('pgpipe_staging.%I', 'pgpipe_difference_' || stage::oid);
    keys text := pgpipe.column_list(key);
    missing text := format('s.%I is null', key[1]);  -- no part of a key is null
    staged bigint;
    nulls bigint;
    left_over bigint;
    held bigint;
    -- Where each row of the target has at most one match, a key that is staged twice shows in how many rows a full join has: to count
    -- them costs a tenth of looking for the key.
    by_counting boolean := mode = 'snapshot' and rejected = '[]' and pgpipe.is_unique(target, key);
begin
    execute format('analyze %s (%s)', stage, keys);
    execute format('select count(*), count(*) filter (where num_nulls(%s) > 0) from %s s', pgpipe.column_list(key, 's'), stage)
       into staged, nulls;
    if nulls > 0 or not by_counting then
        perform pgpipe.check_key(stage, key);
    end if;
    if rejected <> '[]' then  -- a row that was set aside is in the snapshot all the same: its earlier version stays
        missing := format('%s and not exists (select from jsonb_array_elements(%L) r (key) where %s)', missing, rejected,
                          pgpipe.key_match(target, key, 't', 'r.key'));
    end if;
    -- One join finds the keys that differ, on several cores where it is large: most of what it costs to load rows that are there is
    -- reading a wide target. A row that did not change is never written: INSERT … ON CONFLICT would compute the search column of
    -- every staged row before it finds the conflict.
    execute format('create unlogged table %s as select %s, null::bigint as pgpipe_held from %s t %s join %s s on %s where %s %s',
        difference, format('%s, case when s.%2$I is null then %3$L when t.%2$I is null then %4$L else %5$L end as pgpipe_change',
               (select string_agg(format('coalesce(t.%1$I, s.%1$I) as %1$I', c), ', ' order by n)
                  from unnest(key) with ordinality k (c, n)), key[1], 'delete', 'insert', 'update'),
        target, case mode when 'snapshot' then 'full' else 'right' end, stage, pgpipe.same_key(target, key, 't', 's'),
        concat_ws(' or ', missing, format('t.%I is null', key[1]),
                  case when others <> '{}' then format('s.%I is not null and (%s)', key[1], pgpipe.differ(target, others, 't', 's')) end),
        case when by_counting then  -- of the same moment as the join
            format('union all select %s null, count(*) from %s', repeat('null, ', cardinality(key)), target) end);
    execute 'analyze ' || difference;
    if by_counting then
        execute format('select count(*) filter (where pgpipe_change = %L) - count(*) filter (where pgpipe_change = %L), max(pgpipe_held)'
                       ' from %s', 'delete', 'insert', difference) into left_over, held;
        if staged + left_over <> held then
            perform pgpipe.check_key(stage, key);
        end if;
    end if;
    deleted := pgpipe.execute_in(path, format('delete from %s t using %s d where d.pgpipe_change operator(pg_catalog.=) %L and %s',
        target, difference, 'delete', pgpipe.same_key(target, key, 't', 'd')));
    updated := 0;
    if others <> '{}' then
        updated := pgpipe.execute_in(path, format('update %s t set (%s) = row (%s) from %s s join %s d on %s '
            'where d.pgpipe_change operator(pg_catalog.=) %L and %s', target, pgpipe.column_list(others),
            pgpipe.column_list(others, 's'), stage, difference, pgpipe.same_key(target, key, 's', 'd'), 'update',
            pgpipe.same_key(target, key, 't', 'd')));
    end if;
    begin
        inserted := pgpipe.execute_in(path, format('insert into %s as x (%s) select %s from %s s join %s d on %s '
            'where d.pgpipe_change operator(pg_catalog.=) %L', target, pgpipe.column_list(columns),
            pgpipe.column_list(columns, 's'), stage, difference, pgpipe.same_key(target, key, 's', 'd'), 'insert'));
    exception when unique_violation then
        perform pgpipe.check_key(stage, key);  -- new rows of one key
        raise;
    end;
    execute 'drop table ' || difference;
    unchanged := staged - inserted - updated;
end
$$;
comment on function pgpipe.merge(regclass, regclass, name[], name[], text, jsonb, text) is
    'Brings the staged rows into the target by key, writing only rows that differ; mode `snapshot` also deletes rows that are neither '
    'staged nor have one of the keys in `rejected`, an array of objects. The target''s triggers run with the search_path `path`, the '
    'caller''s. Raises PP010 for a key that is NULL or staged twice.';
