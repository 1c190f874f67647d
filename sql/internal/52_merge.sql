-- The merge: a target's columns brought up to the files', then only the rows that differ, written by key.

create or replace function pgpipe_internal.execute_in(path text, statement text)
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
comment on function pgpipe_internal.execute_in(text, text) is
    'Executes a statement that fires a target''s own triggers, which find their tables by the search_path of who loads. The statement '
    'itself names everything in full. Returns how many rows it wrote.';

create or replace function pgpipe_internal.evolve(target regclass, added jsonb, widened jsonb)
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
comment on function pgpipe_internal.evolve(regclass, jsonb, jsonb) is
    'Adds columns, NULL in every row, and widens types, [{"name", "type"}] each, also of their copies in stores and filter tables. A '
    'widened column rewrites the table.';

create or replace function pgpipe_internal.add_columns(target regclass, stage regclass, added jsonb, key name[], mode text,
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
    perform pgpipe_internal.align_keys(target, stage, key);
    return pgpipe_internal.execute_in(path, format('update %s t set (%s) = row (%s) from %s s where %s and (%s)',
        target, pgpipe_internal.column_list(names), pgpipe_internal.column_list(names, 's'), stage, pgpipe_internal.same_key(target, key, 't', 's'),
        pgpipe_internal.differ(target, names, 't', 's')));
end
$$;
comment on function pgpipe_internal.add_columns(regclass, regclass, jsonb, name[], text, text) is
    'Adds columns to a target and gives them their staged values. The target''s triggers run with the search_path `path`, the caller''s. '
    'Returns how many rows had to be written for it.';

create or replace function pgpipe_internal.find_violations(target regclass, stage regclass, columns name[], key name[])
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
      from pg_catalog.pg_attribute a, pgpipe_internal.column_type(a.atttypid, a.atttypmod) t
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
            case when key = '{}' then '' else format('left join %s t on %s', target, pgpipe_internal.same_key(target, key, 't', 's')) end,
            known.condition);
    end loop;
end
$$;
comment on function pgpipe_internal.find_violations(regclass, regclass, name[], name[]) is
    'The staged rows that a CHECK of the target refuses, by the pgpipe_part and pgpipe_number that were staged with them.';

create or replace function pgpipe_internal.written_columns(target regclass, columns name[], key name[])
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select c from unnest(columns) with ordinality k (c, n)
                  where c <> all (key) or c = any (pgpipe_internal.inexact_columns(target, key)) order by n)
$$;
comment on function pgpipe_internal.written_columns(regclass, name[], name[]) is
    'The columns that may differ in rows of the same key: all but the key, and what of the key may '
    'differ in a byte.';

create or replace function pgpipe_internal.find_difference(target regclass, stage regclass, columns name[],
    key name[], mode text, rejected jsonb, counting boolean)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    difference text := format('pgpipe_staging.%I', 'pgpipe_difference_' || stage::oid);
    gone text := format('s.%I is null', key[1]);  -- no part of a key is null
    new text := format('t.%I is null', key[1]);
    -- A row that was rejected is in the snapshot all the same: its earlier version stays.
    lost text := case rejected when '[]' then quote_literal('delete') else format(
        'case when exists (select from jsonb_array_elements(%L) r (key) where %s) then %L else %L '
        'end', rejected, pgpipe_internal.key_match(target, key, 't', 'r.key'), 'keep', 'delete') end;
begin
    -- One join finds the keys that differ, on several cores where it is large: most of what it
    -- costs to load rows that are there is reading a wide target. A row that did not change is
    -- never written: INSERT … ON CONFLICT would compute the search column of every staged row
    -- before it finds the conflict. The rows of the target are counted at the same moment.
    execute format('create unlogged table %s as select %s, case when %s then %s when %s then %L '
                   'else %L end as change, null::bigint as held from %s t %s join %s s on %s '
                   'where %s %s', difference,
        (select string_agg(format('coalesce(s.%1$I, t.%1$I) as key_%2$s', k, n), ', ' order by n)
           from unnest(key) with ordinality u (k, n)),
        gone, lost, new, 'insert', 'update', target,
        case mode when 'snapshot' then 'full' else 'right' end, stage,
        pgpipe_internal.same_key(target, key, 't', 's'),
        concat_ws(' or ', gone, new, pgpipe_internal.differ(
            target, pgpipe_internal.written_columns(target, columns, key), 't', 's')),
        case when counting then format('union all select %s null, count(*) from %s',
                                       repeat('null, ', cardinality(key)), target) end);
    execute 'analyze ' || difference;
    return difference::regclass;
end
$$;
comment on function pgpipe_internal.find_difference(
    regclass, regclass, name[], name[], text, jsonb, boolean) is
    'Makes a table of the keys whose rows differ: key_1, key_2, …, and `change`. This is insert, '
    'update, delete, or keep for a row that the snapshot has but could not bring. With '
    '`counting`, `held` of one more row is how many rows the target has.';

create or replace function pgpipe_internal.count_changes(difference regclass, out inserts bigint,
    out updates bigint, out deletes bigint, out keeps bigint, out held bigint)
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format($sql$
        select count(*) filter (where d.change = 'insert'),
               count(*) filter (where d.change = 'update'),
               count(*) filter (where d.change = 'delete'),
               count(*) filter (where d.change = 'keep'), max(d.held)
          from %s d $sql$, difference) into inserts, updates, deletes, keeps, held;
end
$$;
comment on function pgpipe_internal.count_changes(regclass) is
    'How many changes of each kind a difference has.';

create or replace function pgpipe_internal.check_deletions(target regclass, difference regclass, key name[],
    deleted bigint, held bigint, max_rows bigint, max_share double precision)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    allowed text := coalesce(max_rows || ' rows',
                             round(max_share::numeric * 100, 2)::float8 || ' %');
    examples text;
begin
    if deleted = 0 or allowed is null or deleted < held and deleted <= coalesce(
           max_rows, case when held > 100 then max_share * held else held end) then
        return;
    end if;
    execute format($sql$
        select string_agg(e.key, '; ')
          from (select left(concat_ws(', ', %1$s), 60) as key from %2$s d
                 where d.change = 'delete' order by %1$s limit 3) e $sql$,
        pgpipe_internal.number_list(key, 'd'), difference) into examples;
    raise exception
        'the snapshot would delete % of the % rows of %, such as (%) %: max_deleted is %', deleted,
        held, target, pgpipe_internal.column_list(key), examples,
        allowed || case deleted when held then ', and never all' else '' end
        using errcode = 'PP013',
        hint = 'Nothing was changed. If the files are right, let it pass once with '
               '`--accept max_deleted`.';
end
$$;
comment on function pgpipe_internal.check_deletions(
    regclass, regclass, name[], bigint, bigint, bigint, double precision) is
    'Raises PP013 if a snapshot would delete all rows of the target, more than `max_rows`, or of '
    'over 100 rows more than `max_share`. If both are null, nothing is refused.';

create or replace function pgpipe_internal.write_difference(target regclass, stage regclass,
    difference regclass, columns name[], key name[], path text,
    out inserted bigint, out updated bigint, out deleted bigint)
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    written name[] := pgpipe_internal.written_columns(target, columns, key);
    of_change text := 'd.change operator(pg_catalog.=)';
    staged text := format('%s s join %s d on %s', stage, difference,
                          pgpipe_internal.same_numbered(target, key, 'd', 's'));
    in_target text := pgpipe_internal.same_numbered(target, key, 'd', 't');
begin
    deleted := pgpipe_internal.execute_in(path, format(
        'delete from %s t using %s d where %s %L and %s', target, difference, of_change, 'delete',
        in_target));
    updated := 0;
    if written <> '{}' then
        updated := pgpipe_internal.execute_in(path, format(
            'update %s t set (%s) = row (%s) from %s where %s %L and %s', target,
            pgpipe_internal.column_list(written), pgpipe_internal.column_list(written, 's'), staged, of_change,
            'update', in_target));
    end if;
    begin
        inserted := pgpipe_internal.execute_in(path, format(
            'insert into %s as x (%s) select %s from %s where %s %L', target,
            pgpipe_internal.column_list(columns), pgpipe_internal.column_list(columns, 's'), staged, of_change,
            'insert'));
    exception when unique_violation then
        perform pgpipe_internal.check_key(stage, key);  -- new rows of one key
        raise;
    end;
end
$$;
comment on function pgpipe_internal.write_difference(regclass, regclass, regclass, name[], name[], text) is
    'Deletes, updates and inserts the rows of a difference; returns what the server counted.';

create or replace function pgpipe_internal.count_stored(target regclass, stage regclass, difference regclass,
    columns name[], key name[], change text)
    returns bigint  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found bigint;
begin
    execute format(
        'select count(*) from %s d '
        'where d.change = %L and %s exists (select from %s t %s where %s)', difference, change,
        case change when 'delete' then 'not' else '' end, target,
        case change when 'update'
             then format('join %s s on %s and not (%s)', stage,
                         pgpipe_internal.same_numbered(target, key, 'd', 's'),
                         pgpipe_internal.differ(target, columns, 't', 's')) else '' end,
        pgpipe_internal.same_numbered(target, key, 'd', 't')) into found;
    return found;
end
$$;
comment on function pgpipe_internal.count_stored(regclass, regclass, regclass, name[], name[], text) is
    'How many changes of a kind the target shows. A rule or a trigger may have done something '
    'else than the server counted.';

create or replace function pgpipe_internal.merge(target regclass, stage regclass, columns name[], key name[],
    mode text, rejected jsonb, max_rows bigint, max_share double precision,
    path text default pg_catalog.current_setting('search_path'),
    out inserted bigint, out updated bigint, out deleted bigint, out unchanged bigint,
    out left_out bigint, out kept bigint)
    volatile  set search_path = pg_catalog, pg_temp  set work_mem = '128MB'
    set default_statistics_target = 10  set parallel_tuple_cost = 0  language plpgsql
as $$
declare
    staged record;
    wanted record;
    difference regclass;
    rules boolean := (select c.relhasrules from pg_catalog.pg_class c where c.oid = target);
    -- Where each row of the target has at most one match, a key that is staged twice shows in how
    -- many rows a full join has: to count them costs a tenth of looking for the key.
    counting boolean := mode = 'snapshot' and rejected = '[]' and pgpipe_internal.is_unique(target, key);
begin
    perform pgpipe_internal.require_unique(target, key, mode), pgpipe_internal.align_keys(target, stage, key);
    execute format('analyze %s (%s)', stage, pgpipe_internal.column_list(key));
    execute format(
        'select count(*) as rows, count(*) filter (where num_nulls(%s) > 0) as nulls '
        'from %s s',
        pgpipe_internal.column_list(key, 's'), stage) into staged;
    if staged.nulls > 0 or not counting then
        perform pgpipe_internal.check_key(stage, key);
    end if;
    difference := pgpipe_internal.find_difference(target, stage, columns, key, mode, rejected, counting);
    wanted := pgpipe_internal.count_changes(difference);
    if staged.rows + wanted.deletes - wanted.inserts <> wanted.held then
        perform pgpipe_internal.check_key(stage, key);
    end if;
    perform pgpipe_internal.check_deletions(target, difference, key, wanted.deletes,
        staged.rows - wanted.inserts + wanted.deletes + wanted.keeps, max_rows, max_share);
    select w.inserted, w.updated, w.deleted into inserted, updated, deleted
      from pgpipe_internal.write_difference(target, stage, difference, columns, key, path) w;
    if rules or inserted <> wanted.inserts then
        inserted := pgpipe_internal.count_stored(target, stage, difference, columns, key, 'insert');
    end if;
    if rules then
        updated := pgpipe_internal.count_stored(target, stage, difference, columns, key, 'update');
        deleted := pgpipe_internal.count_stored(target, stage, difference, columns, key, 'delete');
    end if;
    execute 'drop table ' || difference;
    unchanged := staged.rows - wanted.inserts - wanted.updates;
    left_out := wanted.inserts - inserted + wanted.updates - updated;
    kept := wanted.deletes - deleted;
end
$$;
comment on function pgpipe_internal.merge(
    regclass, regclass, name[], name[], text, jsonb, bigint, double precision, text) is
    'Brings the staged rows into the target by key, writing only rows that differ. Mode '
    '`snapshot` also deletes rows that are neither staged nor have one of the keys in `rejected`, '
    'an array of objects. It does so within `max_rows` and `max_share`, see check_deletions. '
    '`left_out` are staged rows that a trigger, rule or policy of the target did not store. '
    '`kept` are rows that it did not delete. The target''s triggers run with the search_path '
    '`path`, the caller''s. Raises PP010 for a key that is NULL or occurs twice, PP013 for too '
    'many deletions.';
