-- The merge: only the rows of a difference are written, by key. Its statements are templates,
-- sql/templates/merge_*.sql.

create or replace function pgpipe_internal.merge_statement(
    change text, target regclass, stage regclass, difference regclass, columns name[],
    key name[])
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.render('merge_' || change, jsonb_build_object(
               'target', target, 'difference', difference)
           || case when change <> 'insert' then jsonb_build_object(
                  'same_key', pgpipe_internal.same_numbered(target, key, 'difference', 'target'))
              else '{}' end
           || case when change in ('update', 'insert') then jsonb_build_object(
                  'columns', pgpipe_internal.column_list(columns || gone.name),
                  'values', concat_ws(', ', pgpipe_internal.column_list(columns, 'staged'),
                      case when gone.name <> '{}' then 'null::pg_catalog.timestamptz' end),
                  'stage', stage,
                  'staged_key', pgpipe_internal.same_numbered(target, key, 'difference', 'staged'))
              else '{}' end
           || case change
              when 'mark' then jsonb_build_object(
                  'deleted_column', pgpipe_internal.column_list(gone.name))
              when 'update' then jsonb_build_object('changes', quote_literal(
                  case gone.name when '{}' then '{update}' else '{update,revive}' end))
              else '{}' end)
      from (select array(select known from pgpipe_internal.deleted_column(target) known
                          where known is not null and change <> 'insert') as name) gone
$$;
comment on function pgpipe_internal.merge_statement(
    text, regclass, regclass, regclass, name[], name[]) is
    'SQL text: the statement that writes the rows of a difference with one change, which is '
    'insert, update, delete or mark. An update also unmarks rows that come back.';

create or replace function pgpipe_internal.count_stored(
    target regclass, stage regclass, difference regclass, columns name[], key name[], change text)
    returns bigint  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found bigint;
begin
    execute pgpipe_internal.render('merge_stored', jsonb_build_object(
        'difference', difference, 'change', quote_literal(change),
        'shown', case change when 'delete' then 'not exists' else 'exists' end,
        'live_rows', pgpipe_internal.live_rows(target, pgpipe_internal.deleted_column(target)),
        'join', case change when 'update' then format(
            'join %s staged on %s and not (%s)', stage,
            pgpipe_internal.same_numbered(target, key, 'difference', 'staged'),
            pgpipe_internal.differ(target, columns, 'target', 'staged')) end,
        'same_key', pgpipe_internal.same_numbered(target, key, 'difference', 'target')))
        into found;
    return found;
end
$$;
comment on function pgpipe_internal.count_stored(
    regclass, regclass, regclass, name[], name[], text) is
    'How many changes of a kind the target shows. A rule or a trigger may have done something '
    'else than the server counted.';

create or replace function pgpipe_internal.has_rules(target regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select class.relhasrules from pg_catalog.pg_class class where class.oid = target
$$;
comment on function pgpipe_internal.has_rules(regclass) is
    'Whether a statement on the table may do something else than it says.';

drop function if exists pgpipe_internal.write_difference(
    regclass, regclass, regclass, name[], name[], text, bigint, boolean);

create or replace function pgpipe_internal.write_difference(
    target regclass, stage regclass, difference regclass, columns name[], key name[], path text,
    wanted record, deletes_last boolean, out inserted bigint, out updated bigint)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    written name[] := pgpipe_internal.written_columns(target, columns, key);
    insertion text := pgpipe_internal.merge_statement('insert', target, stage, difference, columns,
                                                      key);
    change text[] := case when written = '{}' and wanted.revived = 0 then '{}'
                     else array[pgpipe_internal.merge_statement('update', target, stage,
                                                                difference, written, key)] end;
    rows bigint[];
    revived bigint;
begin
    if deletes_last then  -- a row may refer to one that is new
        rows := pgpipe_internal.write_moving(target, stage, difference, written, key, path,
                                             insertion || change, '{update,revive,delete}');
    else
        rows := pgpipe_internal.write_moving(target, stage, difference, written, key, path, change,
                                             '{update,revive}');
        rows := pgpipe_internal.write_moving(target, stage, difference, written, key, path,
                                             array[insertion], '{}') || rows;
    end if;
    inserted := rows[1];
    updated := coalesce(rows[2], 0);
    if pgpipe_internal.has_rules(target) or inserted <> wanted.inserts - wanted.revived then
        inserted := pgpipe_internal.count_stored(target, stage, difference, columns, key, 'insert');
    end if;
    if wanted.revived > 0 then
        revived := pgpipe_internal.count_stored(target, stage, difference, columns, key, 'revive');
        inserted := inserted + revived;
        updated := updated - revived;
    end if;
    if pgpipe_internal.has_rules(target) then
        updated := pgpipe_internal.count_stored(target, stage, difference, columns, key, 'update');
    end if;
end
$$;
comment on function pgpipe_internal.write_difference(
    regclass, regclass, regclass, name[], name[], text, record, boolean) is
    'Updates and inserts the rows of a difference. Returns what the server counted, or what the '
    'target shows if a rule or a trigger of it may have made these differ.';

create or replace function pgpipe_internal.delete_difference(
    target regclass, stage regclass, key name[], path text, wanted bigint)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    difference regclass := pgpipe_internal.difference_name(stage);
    deleted bigint;
begin
    if wanted = 0 then  -- who deletes none needs no right to delete
        return 0;
    end if;
    deleted := pgpipe_internal.execute_in(path, pgpipe_internal.merge_statement(
        case when pgpipe_internal.deleted_column(target) is null then 'delete' else 'mark' end,
        target, stage, difference, '{}', key));
    if pgpipe_internal.has_rules(target) then
        return pgpipe_internal.count_stored(target, stage, difference, '{}', key, 'delete');
    end if;
    return deleted;
end
$$;
comment on function pgpipe_internal.delete_difference(
    regclass, regclass, name[], text, bigint) is
    'Deletes the rows of a difference that are to go, or marks them, and counts them as '
    'write_difference does.';

create or replace function pgpipe_internal.refers_to_itself(target regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_constraint link
                    where link.contype = 'f' and link.conrelid = target
                      and link.confrelid = target)
$$;
comment on function pgpipe_internal.refers_to_itself(regclass) is
    'Whether a foreign key leads from a row of the table to another.';

create or replace function pgpipe_internal.deletes_last(target regclass, deletes_later boolean)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- To mark a row breaks no reference to it, and may free its unique values for another.
    select pgpipe_internal.deleted_column(target) is null
           and (deletes_later or pgpipe_internal.refers_to_itself(target))
$$;
comment on function pgpipe_internal.deletes_last(regclass, boolean) is
    'Whether rows are deleted after others are inserted.';

create or replace function pgpipe_internal.merge(
    target regclass, stage regclass, columns name[], key name[], mode text, rejected jsonb,
    limits jsonb, deletes_later boolean default false,
    path text default pg_catalog.current_setting('search_path'), changes jsonb default '{}',
    out inserted bigint, out updated bigint, out deleted bigint, out unchanged bigint,
    out left_out bigint, out kept bigint, out superseded bigint, out deletes bigint)
    volatile  set search_path = pg_catalog, pg_temp  set work_mem = '128MB'
    set default_statistics_target = 10  set parallel_tuple_cost = 0  language plpgsql
as $$
declare
    difference regclass;
    wanted record;
    gone name := pgpipe_internal.deleted_column(target);
    deletes_last boolean := pgpipe_internal.deletes_last(target, deletes_later);
begin
    wanted := pgpipe_internal.compare_staged(target, target, stage, columns, key, mode, rejected,
                                             changes, gone);
    difference := pgpipe_internal.difference_name(stage);
    deletes := 0;
    if changes <> '{}' then
        deletes := wanted.absent + wanted.deletes;
        wanted.held := pgpipe_internal.held_by(target, wanted.deletes, limits, gone);
    end if;
    perform pgpipe_internal.check_limits(target, difference, key, limits, wanted),
            pgpipe_internal.enqueue_difference(target, stage, columns, key);
    deleted := case when not deletes_last then
                    pgpipe_internal.delete_difference(target, stage, key, path, wanted.deletes) end;
    select written.* into inserted, updated
      from pgpipe_internal.write_difference(
           target, stage, difference, columns, key, path, wanted, deletes_last) written;
    superseded := wanted.superseded;
    unchanged := wanted.staged - wanted.inserts - wanted.updates;
    left_out := wanted.inserts - inserted + wanted.updates - updated;
    deleted := coalesce(deleted, case when not deletes_later then
                   pgpipe_internal.delete_difference(target, stage, key, path, wanted.deletes) end);
    kept := wanted.deletes - deleted;
    perform pgpipe_internal.keep_merged(target, stage, key, deletes_later, left_out, kept),
            pgpipe_internal.keep_tombstones(stage, key, changes);
end
$$;
comment on function pgpipe_internal.merge(
    regclass, regclass, name[], name[], text, jsonb, jsonb, boolean, text, jsonb) is
    'Brings the staged rows into the target by key, writing only rows that differ. Mode '
    '`snapshot` also deletes rows that are neither staged nor have one of the keys in `rejected`, '
    'an array of objects. Of a target with soft_delete they are marked. `limits` are an object, '
    'see broken_limits. With `deletes_later` deletes are left for merge_deletions, which says '
    'what `deleted` and `kept` are. '
    '`left_out` are staged rows that a trigger, rule or policy of the target did not store. '
    '`kept` are rows that it did not delete. The target''s triggers run with the search_path '
    '`path`, the caller''s. `changes` are those of reduce_changes, which left the last row of each '
    'key: then `deletes` are the staged rows that delete, and `superseded` those that are older '
    'than the row of the target. Raises PP010 for a key that is NULL or occurs twice, PP013 for a '
    'limit that is broken.';

create or replace function pgpipe_internal.merge_deletions(
    target regclass, stage regclass, key name[],
    path text default pg_catalog.current_setting('search_path'),
    out deleted bigint, out kept bigint)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted bigint := (select changes.deletes from pgpipe_internal.count_changes(
                          pgpipe_internal.difference_name(stage)) changes);
begin
    deleted := case when pgpipe_internal.deleted_column(target) is null
                    then pgpipe_internal.delete_difference(target, stage, key, path, wanted)
                    else pgpipe_internal.count_stored(  -- the merge has marked them
                        target, stage, pgpipe_internal.difference_name(stage), '{}', key, 'delete')
               end;
    kept := wanted - deleted;
    perform pgpipe_internal.keep_versions(target, stage, key, '{delete}', kept > 0);
end
$$;
comment on function pgpipe_internal.merge_deletions(regclass, regclass, name[], text) is
    'Deletes what a merge left for later: when no row of another table refers to these any more.';

create or replace function pgpipe_internal.append_staged(
    target regclass, stage regclass, columns name[],
    path text default pg_catalog.current_setting('search_path'))
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.enqueue_staged(target, stage);
    select pgpipe_internal.execute_in(path, pgpipe_internal.render(
               'merge_append', jsonb_build_object(
                   'target', target, 'stage', stage,
                   'columns', pgpipe_internal.column_list(columns),
                   'values', pgpipe_internal.column_list(columns, 'staged'))))
$$;
comment on function pgpipe_internal.append_staged(regclass, regclass, name[], text) is
    'Inserts all staged rows into the target, whose triggers run with the search_path `path`, the '
    'caller''s. Returns how many rows were inserted.';
