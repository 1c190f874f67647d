-- Change files: of each key the last row counts, and a row may say that its key is gone.
-- The settings of such a load travel as `changes`: {"order": ["updated_at"], "delete": "op = 'D'",
-- "ties_from": 3, "schema", "entity", "date", "newest"}. Its statements are templates,
-- sql/templates/merge_changes_*.sql.

create or replace function pgpipe_internal.order_columns(changes jsonb)
    returns name[]  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select listed.name from jsonb_array_elements_text(changes -> 'order')
                        with ordinality listed (name, place) order by listed.place)
$$;
comment on function pgpipe_internal.order_columns(jsonb) is
    'The columns that say which of two changes of a key is the later one.';

create or replace function pgpipe_internal.order_value(relation regclass, name name, alias text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- By the bytes: a collation may put 2026-01-10 before 2026-01-1A on one server only.
    select format(case when item.attcollation <> 0 then '%s.%I collate pg_catalog."C"'
                       else '%s.%I' end, alias, item.attname)
      from pg_catalog.pg_attribute item
     where item.attrelid = relation and item.attname = order_value.name
$$;
comment on function pgpipe_internal.order_value(regclass, name, text) is
    'SQL text: a value that puts changes into their order. Texts go by their bytes.';

create or replace function pgpipe_internal.precedes(
    relation regclass, columns name[], a text, b text, tie text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found text := tie;
    part record;
begin
    for part in
        select pgpipe_internal.order_value(relation, listed.name, precedes.a) as a,
               pgpipe_internal.order_value(relation, listed.name, precedes.b) as b
          from unnest(columns) with ordinality listed (name, place) order by listed.place desc
    loop
        found := format('(%2$s is not null and (%1$s is null or %1$s operator(pg_catalog.<) %2$s)'
                        ' or %1$s is not distinct from %2$s and %3$s)', part.a, part.b, found);
    end loop;
    return found;
end
$$;
comment on function pgpipe_internal.precedes(regclass, name[], text, text, text) is
    'SQL text: the change `a` comes before `b`; if their order is the same, `tie` decides. NULL '
    'comes before all values.';

create or replace function pgpipe_internal.check_delete(
    columns jsonb, condition text,
    path text default pg_catalog.current_setting('search_path'))
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    reason text;
begin
    if not pgpipe_internal.is_one_expression(condition) then
        raise exception 'it is more than one expression';
    end if;
    perform set_config('search_path', path, true);
    execute format(E'select from (select %s) changes where (%s\n) limit 0',
        (select pg_catalog.string_agg(pg_catalog.format('null::%s as %I', item.type, item.name),
                                      ', ')
           from pg_catalog.jsonb_to_recordset(columns) item (name text, type text)), condition);
exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported
    or program_limit_exceeded or invalid_schema_name or raise_exception then
    get stacked diagnostics reason = message_text;
    raise exception 'the condition % cannot be used: %', pg_catalog.quote_literal(condition),
        pg_catalog.replace(reason, 'argument of WHERE must be type', 'it must be of type')
        using errcode = 'PP020',
        hint = 'Write a condition on the columns of one row, such as "op = ''D''", or the name of '
               'a boolean column.';
end
$$;
comment on function pgpipe_internal.check_delete(jsonb, text, text) is
    'Raises PP020 if rows with the columns [{"name", "type"}] cannot be asked this condition. '
    'It finds functions and operators by the search_path `path`, the caller''s.';

create or replace function pgpipe_internal.mark_deletes(
    stage regclass, condition text,
    path text default pg_catalog.current_setting('search_path'))
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    reason text;
begin
    perform pgpipe_internal.execute_in(path, pgpipe_internal.render(
        'merge_changes_mark', jsonb_build_object('stage', stage,
                                           'condition', format(E'(%s\n)', condition))));
exception when data_exception then
    get stacked diagnostics reason = message_text;
    raise exception 'the condition % cannot be used: %', quote_literal(condition),
        regexp_replace(reason, '"[^"]*"', '"…"', 'g')  -- a value of a row
        using errcode = 'PP010', hint = 'Write it so that each row of the files has an answer.';
end
$$;
comment on function pgpipe_internal.mark_deletes(regclass, text, text) is
    'Marks the staged rows that say that a row is gone. For these the condition is true; if it is '
    'NULL, a row is not a delete.';

create or replace function pgpipe_internal.has_deletes(
    stage regclass, condition text,
    path text default pg_catalog.current_setting('search_path'))
    returns boolean  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found_ boolean;
begin
    perform set_config('search_path', path, true);
    execute format(E'select exists (select from %s changes where (%s\n))', stage, condition)
       into found_;
    return found_;
exception when data_exception then
    return true;  -- mark_deletes says what is wrong
end
$$;
comment on function pgpipe_internal.has_deletes(regclass, text, text) is
    'Whether a staged change says that its row is gone.';

create or replace function pgpipe_internal.drop_deletes(
    stage regclass, condition text,
    path text default pg_catalog.current_setting('search_path'))
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.mark_deletes(stage, condition, path);
    execute format('delete from %s staged where staged.pgpipe_deleted', stage);
end
$$;
comment on function pgpipe_internal.drop_deletes(regclass, text, text) is
    'Leaves the staged rows that a rule of the target may refuse: all but the deletes.';

create or replace function pgpipe_internal.reduce_changes(
    target regclass, stage regclass, key name[], changes jsonb,
    path text default pg_catalog.current_setting('search_path'))
    returns bigint
    volatile  set search_path = pg_catalog, pg_temp  set work_mem = '128MB'
    set default_statistics_target = 10  language plpgsql
as $$
declare
    columns name[] := pgpipe_internal.order_columns(changes);
    superseded bigint := 0;
    is_double boolean;
begin
    perform pgpipe_internal.align_keys(target, stage, key),
            pgpipe_internal.count_staged(stage, key, true);
    perform pgpipe_internal.mark_deletes(stage, changes ->> 'delete', path);
    is_double := (pgpipe_internal.find_twice(stage, key)).keys > 0;
    if is_double and columns = '{}' then
        perform pgpipe_internal.check_key(stage, key);
    elsif is_double then
        execute pgpipe_internal.render('merge_changes_supersede', jsonb_build_object(
            'stage', stage, 'keys', pgpipe_internal.column_list(key, 'changes'),
            'order', (select string_agg(pgpipe_internal.order_value(stage, listed.name, 'changes')
                                        || ' desc nulls last, ', '' order by listed.place)
                        from unnest(columns) with ordinality listed (name, place))));
        get diagnostics superseded = row_count;
    end if;
    if target is not null and columns <> '{}' then
        superseded := superseded + pgpipe_internal.drop_late(stage, key, changes);
    end if;
    return superseded;
end
$$;
comment on function pgpipe_internal.reduce_changes(regclass, regclass, name[], jsonb, text) is
    'Leaves the last change of each key in a staging table, if it is not older than a delete of '
    'its key. Marks deletes. Returns how many rows were superseded. Raises PP010 if a key is NULL, '
    'or if it occurs twice and no order is known. `target` is null if there is none yet.';

drop function if exists pgpipe_internal.change_kinds(regclass, name[], jsonb);

create or replace function pgpipe_internal.change_kinds(
    target regclass, key name[], changes jsonb, deleted_column name)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format($sql$when %3$s and staged.pgpipe_deleted then 'absent'
            when target.%1$I is not null and %2$s then 'superseded'
            %4$swhen staged.pgpipe_deleted then 'delete' $sql$, key[1], pgpipe_internal.precedes(
               target, pgpipe_internal.order_columns(changes), 'staged', 'target',
               case pgpipe_internal.order_columns(changes) when '{}' then 'false'
               else format('staged.pgpipe_part operator(pg_catalog.<) %s', changes ->> 'ties_from')
               end), format(case when deleted_column is null then '%s' else '(%s or %s)' end,
                            format('target.%I is null', key[1]), marked),
               'when ' || marked || ' then ''revive'' ')
      from (select 'target.' || quote_ident(deleted_column) || ' is not null' as marked) gone
$$;
comment on function pgpipe_internal.change_kinds(regclass, name[], jsonb, name) is
    'SQL text: the branches by which a difference tells deletes, changes that are older than the '
    'row of the target, and rows that come back, from what differs.';

create or replace function pgpipe_internal.count_left(stage regclass)
    returns bigint  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    left_ bigint;
begin
    execute format('select count(*) from %s staged where staged.pgpipe_deleted is not true', stage)
       into left_;
    return left_;
end
$$;
comment on function pgpipe_internal.count_left(regclass) is
    'How many rows reduced changes would bring into a new target.';

create or replace function pgpipe_internal.fill_changes(
    target regclass, stage regclass, columns name[], out inserted bigint, out deletes bigint)
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute pgpipe_internal.render('merge_changes_fill', jsonb_build_object(
        'target', target, 'columns', pgpipe_internal.column_list(columns),
        'values', pgpipe_internal.column_list(columns, 'staged'), 'stage', stage));
    get diagnostics inserted = row_count;
    execute format('select count(*) from %s staged where staged.pgpipe_deleted', stage)
       into deletes;
end
$$;
comment on function pgpipe_internal.fill_changes(regclass, regclass, name[]) is
    'Brings reduced changes into a new target. Returns how many rows that were, and how many '
    'deletes.';

drop function if exists pgpipe_internal.held_by(regclass, bigint, jsonb);

create or replace function pgpipe_internal.held_by(
    target regclass, deleted bigint, limits jsonb, deleted_column name)
    returns bigint  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    share double precision := nullif((limits #>> '{max_deleted,share}')::float8, 0);
    enough bigint := ceil(greatest(deleted / share, 100)) + 1;  -- if it has these, the share holds
    held bigint;
begin
    if deleted = 0 or limits -> 'max_deleted' is null then
        return 0;
    end if;
    execute format('select count(*) from (select from %s live limit %s) counted',
                   pgpipe_internal.live_rows(target, deleted_column),
                   coalesce(enough::text, 'all')) into held;
    return case when held > 100 or limits #> '{max_deleted,rows}' is not null then held end;
end
$$;
comment on function pgpipe_internal.held_by(regclass, bigint, jsonb, name) is
    'How many rows the target has, for check_limits of change files: no more are counted than '
    'the limit asks for. Null if any number may be deleted: of a table of up to 100 rows all, as '
    'change files name each row that they delete.';
