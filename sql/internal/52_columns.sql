-- Columns: a target's brought up to the files', and which staged rows its rules refuse.

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
    'Executes a statement that fires a target''s own triggers, which find their tables by the '
    'search_path of who loads. The statement itself names everything in full. Returns how many '
    'rows it wrote.';

create or replace function pgpipe_internal.holders(target regclass, column_name name)
    returns setof regclass  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A store repeats the key, a filter table the key and more: with the old type they could not
    -- take the new values.
    select target
    union all
    select e.store from pgpipe.embedding e
     where e.target = holders.target and column_name = any (e.key_columns)
    union all
    select e.filter_table from pgpipe.embedding e
     where e.target = holders.target and e.filter_error is null and e.filters <> '{}'
       and column_name = any (e.filters || e.key_columns)
$$;
comment on function pgpipe_internal.holders(regclass, name) is
    'The tables that have the values of a column of a target: itself, and copies of it.';

create or replace function pgpipe_internal.lock_holders(target regclass, widened jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- All at once, before any of them is rewritten: who waits for a lock here gives up soon.
    execute (
        select format('lock table %s in access exclusive mode',
                      string_agg(held.name, ', ' order by held.name))
          from (select target::text as name
                 union select holder::text from jsonb_array_elements(widened) change
                cross join lateral pgpipe_internal.holders(target, change ->> 'name') holder) held);
end
$$;
comment on function pgpipe_internal.lock_holders(regclass, jsonb) is
    'Locks a target, and the tables that have copies of the columns that are widened.';

create or replace function pgpipe_internal.evolve(target regclass, added jsonb, widened jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    change record;
    holder regclass;
begin
    perform pgpipe_internal.lock_holders(target, widened);
    for change in select * from jsonb_to_recordset(added) listed (name text, type text) loop
        execute format('alter table %s add column %I %s', target, change.name, change.type);
    end loop;
    perform pgpipe_internal.mark_untyped(target, added);
    for change in
        select listed.name, listed.type, pgpipe_internal.is_untyped(target, item.attnum) as untyped
          from jsonb_to_recordset(widened) listed (name name, type text)
          join pg_catalog.pg_attribute item
            on item.attrelid = target and item.attname = listed.name
    loop
        for holder in select * from pgpipe_internal.holders(target, change.name) loop
            execute format('alter table %s alter column %I type %s %s', holder, change.name,
                           change.type, case when change.untyped then
                               format('using %I::text::%s', change.name, change.type) end);
        end loop;
        if change.untyped then  -- it has a type now
            execute format('comment on column %s.%I is null', target, change.name);
        end if;
    end loop;
    -- Triggers read a column of the type that it had when they were rendered, and no other.
    if added <> '[]' or widened <> '[]'
       and exists (select from pgpipe.embedding e where e.target = evolve.target) then
        perform pgpipe_internal.repair_triggers(target);
    end if;
end
$$;
comment on function pgpipe_internal.evolve(regclass, jsonb, jsonb) is
    'Locks the target, adds columns, NULL in every row, and widens types, [{"name", "type"}] each, '
    'also of their copies in stores and filter tables. A widened column rewrites the table. A '
    'column that was untyped takes any type.';

create or replace function pgpipe_internal.add_columns(
    target regclass, stage regclass, added jsonb, key name[], mode text,
    path text default pg_catalog.current_setting('search_path'))
    returns bigint
    volatile strict  set search_path = pg_catalog, pg_temp  set work_mem = '128MB'
    language plpgsql
as $$
declare
    change record;
    names name[] := array(select item ->> 'name'
                            from jsonb_array_elements(added) with ordinality listed (item, place)
                           order by place);
    common text;
begin
    for change in select * from jsonb_to_recordset(added) listed (name text, type text) loop
        -- A default that is there when the column is added is kept in the catalogue and costs no
        -- row a rewrite. In a snapshot every row that stays is staged, so its most common value is
        -- right for most rows and is corrected in the others.
        if mode = 'snapshot' then
            execute format(
                'select min(%I::text) from %s group by %I order by count(*) desc limit 1',
                change.name, stage, change.name) into common;
        end if;
        execute format('alter table %s add column %I %s default %L', target, change.name,
                       change.type, common);
        execute format('alter table %s alter column %I drop default', target, change.name);
    end loop;
    perform pgpipe_internal.mark_untyped(target, added);
    perform pgpipe_internal.align_keys(target, stage, key);
    return pgpipe_internal.execute_in(path, pgpipe_internal.render('merge_fill', jsonb_build_object(
        'target', target, 'stage', stage, 'columns', pgpipe_internal.column_list(names),
        'values', pgpipe_internal.column_list(names, 'staged'),
        'same_key', pgpipe_internal.same_key(target, key, 'target', 'staged'),
        'differ', pgpipe_internal.differ(target, names, 'target', 'staged'))));
end
$$;
comment on function pgpipe_internal.add_columns(
    regclass, regclass, jsonb, name[], text, text) is
    'Adds columns to a target and gives them their staged values. The target''s triggers run with '
    'the search_path `path`, the caller''s. Returns how many rows had to be written for it.';

create or replace function pgpipe_internal.staged_row(
    target regclass, columns name[], key name[])
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(concat(
               case when item.attname = any (columns) then 'staged.' || named.item
                    when item.attname = pgpipe_internal.deleted_column(target)  -- it is there
                         then 'null::' || type.type_name
                    when item.attgenerated <> '' or key = '{}' then 'null::' || type.type_name
                    else 'target.' || named.item end,
               ' as ', named.item), ', ' order by item.attnum)
      from pg_catalog.pg_attribute item
     cross join lateral pgpipe_internal.column_type(item.atttypid, item.atttypmod) type
     cross join lateral (select quote_ident(item.attname) as item) named
     where item.attrelid = target and item.attnum > 0 and not item.attisdropped
$$;
comment on function pgpipe_internal.staged_row(regclass, name[], name[]) is
    'SQL text: the columns of a row as it would become. A column that the files lack keeps the '
    'value of the row that is there.';

create or replace function pgpipe_internal.partition_bounds(part regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A default partition that is alone has none.
    select format('(%s)', coalesce(pg_catalog.pg_get_partition_constraintdef(part), 'true'))
$$;
comment on function pgpipe_internal.partition_bounds(regclass) is
    'SQL text: the condition of the rows that a partition takes.';

create or replace function pgpipe_internal.row_rules(target regclass)
    returns table (name name, condition text, columns name[])
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select checked.conname, pg_catalog.pg_get_expr(checked.conbin, checked.conrelid),
           array(select item.attname from pg_catalog.pg_attribute item
                  where item.attrelid = target and item.attnum = any (checked.conkey))
      from pg_catalog.pg_constraint checked
     where checked.conrelid = target and checked.contype = 'c'
    union all
    select null,
           coalesce(string_agg(pgpipe_internal.partition_bounds(part.relid), ' or '), 'false'),
           array(select item.attname from pg_catalog.pg_attribute item
                  where item.attrelid = target and item.attnum = any (split.partattrs::int2[]))
      from pg_catalog.pg_partitioned_table split
      left join pg_catalog.pg_partition_tree(target) part on part.isleaf and part.level > 0
     where split.partrelid = target
     group by split.partattrs
$$;
comment on function pgpipe_internal.row_rules(regclass) is
    'What a row of the target has to meet: each CHECK, and the bounds of one of its partitions, '
    'which have no name.';

create or replace function pgpipe_internal.null_rules(target regclass, columns name[])
    returns table (name name, condition text, columns name[])
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select ''::name, format('pg_catalog.num_nulls(%I) = 0', item.attname), array[item.attname]
      from pg_catalog.pg_attribute item
     where item.attrelid = target and item.attnotnull and item.attname = any (null_rules.columns)
$$;
comment on function pgpipe_internal.null_rules(regclass, name[]) is
    'NOT NULL of the columns, as row_rules has rules; their name is empty.';

create or replace function pgpipe_internal.partition_column(target regclass)
    returns name  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select item.attname
      from pg_catalog.pg_partitioned_table split
      join pg_catalog.pg_attribute item on item.attrelid = split.partrelid
       and item.attnum = split.partattrs[0] and item.attnum > 0
     where split.partrelid = target and split.partnatts = 1
$$;
comment on function pgpipe_internal.partition_column(regclass) is
    'The column by which a table is partitioned; null if these are several, or an expression.';

create or replace function pgpipe_internal.without_partition(
    target regclass, column_name name, given text[])
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found text;
begin
    execute format(
        'select held.pgpipe_given from (select given as pgpipe_given, given::%s as %I '
        'from unnest($1) given) held where not (%s) limit 1',
        (select pg_catalog.format_type(item.atttypid, item.atttypmod)
           from pg_catalog.pg_attribute item
          where item.attrelid = target and item.attname = column_name), column_name,
        (select coalesce(string_agg(pgpipe_internal.partition_bounds(part.relid), ' or '), 'false')
           from pg_catalog.pg_partition_tree(target) part where part.level = 1))
       into found using given;
    return found;
exception when data_exception or cannot_coerce or undefined_function
          or integrity_constraint_violation then
    return null;  -- values of another type: the load converts them, or refuses them by name
end
$$;
comment on function pgpipe_internal.without_partition(regclass, name, text[]) is
    'One of the values for which the target has no partition; null if there is none, or if the '
    'values are not of the column''s type.';

create or replace function pgpipe_internal.indexed_columns(target regclass)
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select distinct item.attname
                   from pg_catalog.pg_index index
                   join pg_catalog.pg_class class on class.oid = index.indexrelid
                   join pg_catalog.pg_am method on method.oid = class.relam
                    and method.amname = 'btree'
                   join pg_catalog.pg_attribute item on item.attrelid = index.indrelid
                    and item.attnum = any (index.indkey::int2[])
                  where index.indrelid = target and item.attnum > 0)
$$;
comment on function pgpipe_internal.indexed_columns(regclass) is
    'The columns whose values an index of limited row size holds.';

create or replace function pgpipe_internal.find_violations(
    target regclass, stage regclass, columns name[], key name[])
    returns table (part bigint, row_number bigint, rule name, of_columns name[])
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known record;
    same_key text := pgpipe_internal.same_key(target, key, 'target', 'staged');
begin
    for known in
        select rules.name, rules.condition, rules.columns
          from (select * from pgpipe_internal.row_rules(target)
                union all
                select * from pgpipe_internal.null_rules(target, columns)) rules
         order by rules.name
    loop
        return query execute pgpipe_internal.render('merge_violations', jsonb_build_object(
            'rule', quote_nullable(known.name), 'of_columns', quote_literal(known.columns),
            'row', pgpipe_internal.staged_row(target, columns, key), 'stage', stage,
            'join', case when key <> '{}' then
                         format('left join %s target on %s', target, same_key) end,
            'condition', known.condition));
    end loop;
end
$$;
comment on function pgpipe_internal.find_violations(regclass, regclass, name[], name[]) is
    'The staged rows that a CHECK of the target refuses, or for which it has no partition, by the '
    'pgpipe_part and pgpipe_number that were staged with them.';
