-- Loading: tables made from a Parquet schema, staging, the changed-rows-only merge, publication and the ledger.

drop function if exists pgpipe.merge(regclass, regclass, name[], name[], text);

create or replace function pgpipe.column_type(type oid, modifier int, out type_name text, out base text, out labels text[])
    stable strict  set search_path = ''  language sql
as $$
    -- A domain is sent as the type below it, an enum as its labels; a type of an extension is known by its bare name.
    with recursive below (oid, modifier, kind) as (
        select t.oid, column_type.modifier, t.typtype from pg_catalog.pg_type t where t.oid = column_type.type
        union all
        select t.oid, d.typtypmod, t.typtype
          from below b join pg_catalog.pg_type d on d.oid = b.oid and d.typtype = 'd' join pg_catalog.pg_type t on t.oid = d.typbasetype
    )
    select pg_catalog.format_type(column_type.type, column_type.modifier),
           case b.kind when 'e' then 'text'
                       when 'b' then regexp_replace(pg_catalog.format_type(b.oid, b.modifier), '^.+\.', '')
                       else pg_catalog.format_type(b.oid, b.modifier) end,
           (select array_agg(e.enumlabel::text order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = b.oid)
      from below b where b.kind <> 'd'
$$;
comment on function pgpipe.column_type(oid, int) is
    'A type by its full name, the type in which its values are sent, and the labels of an enum.';

create or replace function pgpipe.target_columns(target regclass)
    returns table (name name, type text, base text, labels text[], filled boolean, required boolean, defaulted boolean)
    stable strict  set search_path = ''  language sql
as $$
    select a.attname, t.type_name, t.base, t.labels, a.attgenerated <> '' or a.attidentity = 'a',
           a.attnotnull or (select d.typnotnull from pg_catalog.pg_type d where d.oid = a.atttypid),
           a.atthasdef or a.attidentity <> ''
      from pg_catalog.pg_attribute a, pgpipe.column_type(a.atttypid, a.atttypmod) t
     where a.attrelid = target and a.attnum > 0 and not a.attisdropped
     order by a.attnum
$$;
comment on function pgpipe.target_columns(regclass) is
    'The columns of a target in their order: type, which of them the target fills itself, which refuse NULL, which have a default.';

create or replace function pgpipe.declared_type(declared text, out type_name text, out base text, out labels text[])
    stable strict  language sql
as $$
    -- The caller's search_path: a type is named as the user knows it. What stands in parentheses is kept, not read.
    select pg_catalog.regexp_replace(t.type_name, m.place, m.modifier || '\1\2'),
           pg_catalog.regexp_replace(t.base, m.place, m.modifier || '\1\2'), t.labels
      from (select coalesce(pg_catalog.substring(declared, '\([^)]*\)'), '') as modifier, '( with(?:out)? time zone)?(\[\])?$' as place) m,
           pgpipe.column_type(pg_catalog.to_regtype(pg_catalog.regexp_replace(declared, ' *\([^)]*\)', '')), -1) t
     where t.type_name is not null
$$;
comment on function pgpipe.declared_type(text) is 'The type that a user wrote, as column_type; null where there is none.';

create or replace function pgpipe.create_aside(name name, columns jsonb, key name[], unlogged boolean)
    returns regclass  volatile  set search_path = ''  language plpgsql
as $$
declare
    untyped text;
begin
    select c ->> 'type' into untyped from jsonb_array_elements(columns) c where to_regtype(c ->> 'type') is null limit 1;
    if found then
        raise exception 'there is no type %', untyped using errcode = 'PP003';
    end if;
    perform pgpipe.drop_aside(name);
    execute format('create %s table pgpipe_staging.%I (%s)', case when unlogged then 'unlogged' else '' end, name,
        (select string_agg(format('%I %s', c ->> 'name', c ->> 'type'), ', ' order by n)
           from jsonb_array_elements(columns) with ordinality a (c, n)));
    if not unlogged and key = '{}' then
        execute format('alter table pgpipe_staging.%I add column pgpipe_row bigint generated always as identity', name);
    end if;
    return format('pgpipe_staging.%I', name)::regclass;
end
$$;
comment on function pgpipe.create_aside(name, jsonb, name[], boolean) is
    'Makes a table in pgpipe_staging from [{"name", "type"}], replacing what an earlier load left there: unlogged for rows that will be '
    'merged, logged for a target to be published. Without a key the latter gets a generated pgpipe_row.';

create or replace function pgpipe.drop_aside(name name)
    returns void  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    left_over regclass := to_regclass(format('pgpipe_staging.%I', name));
begin
    if left_over is not null then
        delete from pgpipe.search s where s.target = left_over;
        execute format('drop table %s', left_over);
    end if;
end
$$;
comment on function pgpipe.drop_aside(name) is 'Drops a staging table, if there is one, with what was declared on it.';

create or replace function pgpipe.check_key(stage regclass, key name[])
    returns void  stable strict  set search_path = ''  language plpgsql
as $$
declare
    bad bigint;
    example text;
begin
    execute format('select count(*) from %s s where num_nulls(%s) > 0', stage, pgpipe.column_list(key, 's')) into bad;
    if bad > 0 then
        raise exception 'the key (%) is NULL in % of the rows', pgpipe.column_list(key), bad using errcode = 'PP010',
            hint = 'A key identifies every row: choose columns without NULLs.';
    end if;
    execute format($sql$
        with twice as (select %1$s, count(*) as n from %2$s s group by %1$s having count(*) > 1)
        select count(*), min(concat_ws(', ', %1$s)) from twice $sql$, pgpipe.column_list(key), stage) into bad, example;
    if bad > 0 then
        raise exception 'the key (%) is not unique: % of its values occur more than once, such as %',
            pgpipe.column_list(key), bad, quote_literal(left(example, 60)) using errcode = 'PP010',
            hint = 'Name more columns in `key`, or load without one in mode append.';
    end if;
end
$$;
comment on function pgpipe.check_key(regclass, name[]) is
    'Raises PP010 where the key is NULL or occurs twice, with how often and an example.';

create or replace function pgpipe.index_aside(name name, key name[])
    returns void  volatile strict  set search_path = '' set maintenance_work_mem = '256MB'  language plpgsql
as $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
begin
    begin
        execute format('alter table %s add primary key (%s)', made,
                       case key when '{}' then 'pgpipe_row' else pgpipe.column_list(key) end);
    exception when unique_violation or not_null_violation then
        perform pgpipe.check_key(made, key);  -- only a key that failed is counted
        raise;
    end;
    perform pgpipe.index_search(made);
    execute format('analyze %s', made);
end
$$;
comment on function pgpipe.index_aside(name, name[]) is
    'Builds the primary key and the search index of a filled table. Raises PP010 for a key that is NULL or occurs twice.';

create or replace function pgpipe.evolve(target regclass, added jsonb, widened jsonb)
    returns void  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    change record;
    widened_table regclass;
begin
    for change in select * from jsonb_to_recordset(added) c (name text, type text) loop
        execute format('alter table %s add column %I %s', target, change.name, change.type);
    end loop;
    for change in select * from jsonb_to_recordset(widened) c (name text, type text) loop
        -- A store repeats the key: with the old type it could not take the new values.
        for widened_table in
            select target union all select e.store from pgpipe.embedding e
             where e.target = evolve.target and change.name = any (e.key_columns)
        loop
            execute format('alter table %s alter column %I type %s', widened_table, change.name, change.type);
        end loop;
    end loop;
end
$$;
comment on function pgpipe.evolve(regclass, jsonb, jsonb) is
    'Adds columns, NULL in every row, and widens types, [{"name", "type"}] each, also of a key''s copy in the stores. A widened column '
    'rewrites the table.';

create or replace function pgpipe.add_columns(target regclass, stage regclass, added jsonb, key name[], mode text)
    returns bigint  volatile strict  set work_mem = '128MB'  language plpgsql
as $$
-- The caller's search_path: the target's own triggers run within this function, and find their tables by it.
declare
    change record;
    names name[] := array(select c ->> 'name' from jsonb_array_elements(added) with ordinality a (c, n) order by n);
    common text;
    filled bigint;
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
    execute format('update %s t set (%s) = row (%s) from %s s where (%s) = (%s) and (%s) is distinct from (%s)',
        target, pgpipe.column_list(names), pgpipe.column_list(names, 's'), stage, pgpipe.column_list(key, 't'),
        pgpipe.column_list(key, 's'), pgpipe.comparable(target, names, 't'), pgpipe.comparable(target, names, 's'));
    get diagnostics filled = row_count;
    return filled;
end
$$;
comment on function pgpipe.add_columns(regclass, regclass, jsonb, name[], text) is
    'Adds columns to a target and gives them their staged values. Returns how many rows had to be written for it.';

create or replace function pgpipe.comparable(target regclass, columns name[], alias text)
    returns text  stable strict  set search_path = ''  language sql
as $$
    -- json has no equality; its text has.
    select string_agg(format('%s.%I%s', alias, c, case when a.atttypid = 'json'::regtype then '::text' else '' end), ', ' order by n)
      from unnest(columns) with ordinality k (c, n)
      join pg_catalog.pg_attribute a on a.attrelid = comparable.target and a.attname = c
$$;
comment on function pgpipe.comparable(regclass, name[], text) is 'SQL text: the columns in a form that `is distinct from` accepts.';

create or replace function pgpipe.find_violations(target regclass, stage regclass, columns name[], key name[])
    returns table (part bigint, row_number bigint, rule name, of_columns name[])
    volatile strict  set search_path = ''  language plpgsql
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
            case when key = '{}' then '' else format('left join %s t on (%s) = (%s)', target, pgpipe.column_list(key, 't'),
                                                     pgpipe.column_list(key, 's')) end,
            known.condition);
    end loop;
end
$$;
comment on function pgpipe.find_violations(regclass, regclass, name[], name[]) is
    'The staged rows that a CHECK of the target refuses, by the pgpipe_part and pgpipe_number that were staged with them.';

create or replace function pgpipe.merge(target regclass, stage regclass, columns name[], key name[], mode text,
    rejected jsonb,
    out inserted bigint, out updated bigint, out deleted bigint, out unchanged bigint)
    volatile  set work_mem = '128MB'  language plpgsql
as $$
-- The caller's search_path, as in add_columns.
declare
    others name[] := array(select c from unnest(columns) with ordinality k (c, n) where c <> all (key) order by n);
    difference text := format('pgpipe_staging.%I', 'pgpipe_difference_' || stage::oid);
    keys text := pgpipe.column_list(key);
    missing text := format('s.%I is null', key[1]);  -- no part of a key is null
    staged bigint;
begin
    execute format('analyze %s (%s)', stage, keys);
    execute format('select count(*) from %s', stage) into staged;
    if rejected <> '[]' then  -- a row that was set aside is in the snapshot all the same: its earlier version stays
        missing := format('%s and not exists (select from jsonb_array_elements(%L) r (key) where %s)', missing, rejected,
                          pgpipe.key_match(target, key, 't', 'r.key'));
    end if;
    -- One join finds the keys that differ, on several cores where it is large: most of what it costs to load rows that are there is
    -- reading a wide target. A row that did not change is never written: INSERT … ON CONFLICT would compute the search column of
    -- every staged row before it finds the conflict.
    execute format('create unlogged table %s as select %s from %s t %s join %s s using (%s) where %s', difference,
        format('%s, case when s.%2$I is null then %3$L when t.%2$I is null then %4$L else %5$L end as pgpipe_change',
               keys, key[1], 'delete', 'insert', 'update'),
        target, case mode when 'snapshot' then 'full' else 'right' end, stage, keys,
        concat_ws(' or ', missing, format('t.%I is null', key[1]),
                  case when others <> '{}' then format('s.%I is not null and (%s) is distinct from (%s)', key[1],
                      pgpipe.comparable(target, others, 't'), pgpipe.comparable(target, others, 's')) end));
    execute 'analyze ' || difference;
    execute format('delete from %s t using %s d where d.pgpipe_change = %L and (%s) = (%s)', target, difference, 'delete',
        pgpipe.column_list(key, 't'), pgpipe.column_list(key, 'd'));
    get diagnostics deleted = row_count;
    updated := 0;
    if others <> '{}' then
        execute format('update %s t set (%s) = row (%s) from %s s join %s d using (%s) where d.pgpipe_change = %L and (%s) = (%s)',
            target, pgpipe.column_list(others), pgpipe.column_list(others, 's'), stage, difference, keys, 'update',
            pgpipe.column_list(key, 't'), pgpipe.column_list(key, 'd'));
        get diagnostics updated = row_count;
    end if;
    execute format('insert into %s as x (%s) select %s from %s s join %s d using (%s) where d.pgpipe_change = %L',
        target, pgpipe.column_list(columns), pgpipe.column_list(columns, 's'), stage, difference, keys, 'insert');
    get diagnostics inserted = row_count;
    execute 'drop table ' || difference;
    unchanged := staged - inserted - updated;
end
$$;
comment on function pgpipe.merge(regclass, regclass, name[], name[], text, jsonb) is
    'Brings the staged rows into the target by key, writing only rows that differ; mode `snapshot` also deletes rows that are neither '
    'staged nor have one of the keys in `rejected`, an array of objects.';

create or replace function pgpipe.publish(name name, schema name)
    returns regclass  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    made regclass := format('pgpipe_staging.%I', name)::regclass;
    part name;
begin
    -- The names of its indexes and of its sequence may be taken there: by a table that was renamed since, or by one whose long name
    -- begins alike.
    for part in
        select c.relname from pg_catalog.pg_class c join pg_catalog.pg_class there on there.relname = c.relname
         where there.relnamespace = to_regnamespace(quote_ident(schema))
           and c.oid in (select i.indexrelid from pg_catalog.pg_index i where i.indrelid = made
                         union all select d.objid from pg_catalog.pg_depend d
                                    where d.refobjid = made and d.deptype = 'i' and d.classid = 'pg_catalog.pg_class'::regclass)
    loop
        execute format('alter table pgpipe_staging.%I rename to %I', part, pgpipe.derived_name(part, '_' || made::oid));
    end loop;
    -- A rename gives its array type a free name, a move does not.
    execute format('alter table %s rename to %I', made, 'pgpipe_' || made::oid);
    execute format('alter table %s set schema %I', made, schema);
    execute format('alter table %s rename to %I', made, name);
    return made;
end
$$;
comment on function pgpipe.publish(name, name) is
    'Moves a table built aside to where its readers look for it. Raises 42P07 where another table came there first.';

-- The ledger ----------------------------------------------------------------------------------------------------------

create or replace function pgpipe.forget_files()
    returns trigger  security definer  set search_path = ''  language plpgsql
as $$
begin
    delete from pgpipe.load_file f where f.entity = tg_argv[0] and f.schema = tg_argv[1];
    return null;
end
$$;
comment on function pgpipe.forget_files() is 'Trigger: a truncated target holds no file.';

create or replace function pgpipe.keep_ledger(target regclass, entity text)
    returns void  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    of_schema name := (select n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                        where c.oid = target);
begin
    -- The trigger goes with the table and comes back with a restore: where it is missing, this is not the table that was loaded.
    if not exists (select from pg_catalog.pg_trigger g where g.tgrelid = target and g.tgname = 'pgpipe_ledger') then
        delete from pgpipe.load_file f where f.entity = keep_ledger.entity and f.schema = of_schema;
        execute format('create trigger pgpipe_ledger after truncate on %s for each statement execute function pgpipe.forget_files(%L, %L)',
                       target, entity, of_schema);
        perform pgpipe.share(target);
    end if;
end
$$;
comment on function pgpipe.keep_ledger(regclass, text) is
    'Ties the ledger of an entity to this table: entries of another table of that name, dropped since, are forgotten.';

create or replace function pgpipe.record_files(load_id bigint, files jsonb)
    returns void  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    of_load pgpipe.load;
    held pgpipe.load_file[];
    set_aside pgpipe.rejected_row[];
begin
    select * into strict of_load from pgpipe.load l where l.load_id = record_files.load_id;
    -- Bytes that were recognised were not read: what the ledger knows of them goes over to their new name.
    held := array(select f from pgpipe.load_file f
                    join jsonb_to_recordset(files) n (etag text, recognised boolean) on n.recognised and n.etag = f.etag
                   where f.entity = of_load.entity and f.schema = of_load.schema);
    set_aside := array(select r from pgpipe.rejected_row r join unnest(held) h 
                                    on (h.schema, h.entity, h.file, h.etag) = (r.schema, r.entity, r.file, r.etag));
    -- A later version of a file took the place of its rows; were the earlier one put back, it would have to be loaded again. What was
    -- appended is there still.
    delete from pgpipe.load_file f
     where f.entity = of_load.entity and f.schema = of_load.schema and of_load.mode <> 'append'
       and (of_load.mode = 'snapshot' or f.file in (select n.file from jsonb_to_recordset(files) n (file text)));
    insert into pgpipe.load_file (schema, entity, file, etag, date, bytes, read, rejected, load_id)
    select of_load.schema, of_load.entity, f.file, f.etag, of_load.date, f.bytes, coalesce(h.read, f.read),
           coalesce(h.rejected, f.rejected), of_load.load_id
      from jsonb_to_recordset(files) f (file text, etag text, bytes bigint, read bigint, rejected bigint)
      left join (select e.etag, max(e.read) as read, max(e.rejected) as rejected from unnest(held) e group by e.etag) h on h.etag = f.etag;
    insert into pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row, load_id, rejected_at)
    select r.schema, r.entity, f.file, r.etag, r.row_group, r.row_number, r.column_name, r.reason, r.key, r.row, r.load_id, r.rejected_at
      from unnest(set_aside) r
      join jsonb_to_recordset(files) f (file text, etag text, recognised boolean) on f.recognised and f.etag = r.etag
    on conflict do nothing;
end
$$;
comment on function pgpipe.record_files(bigint, jsonb) is
    'Enters the files of a load, [{"file", "etag", "bytes", "read", "rejected", "recognised"}]. A snapshot replaces all earlier entries, '
    'what it holds is what there is; an upsert those of the same files. Rejected rows go with the entry of their file.';

create or replace function pgpipe.reject_rows(load_id bigint, rows jsonb)
    returns void  volatile strict  set search_path = ''  language sql
as $$
    insert into pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row, load_id)
    select l.schema, l.entity, r.file, r.etag, r.row_group, r.row_number, r.column_name, r.reason, r.key, r.row, l.load_id
      from pgpipe.load l, jsonb_to_recordset(rows) r (file text, etag text, row_group int, row_number bigint, column_name text,
                                                      reason text, key jsonb, row jsonb)
     where l.load_id = reject_rows.load_id
$$;
comment on function pgpipe.reject_rows(bigint, jsonb) is
    'Keeps the rows that a load set aside, [{"file", "etag", "row_group", "row_number", "column_name", "reason", "key", "row"}]; call it '
    'in the transaction of record_files, after it.';
