-- The difference of a target and what is staged: one join finds the keys whose rows differ.

create or replace function pgpipe_internal.written_columns(
    target regclass, columns name[], key name[])
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select part.name from unnest(columns) with ordinality part (name, place)
                  where part.name <> all (key)
                     or part.name = any (pgpipe_internal.inexact_columns(target, key))
                  order by part.place)
$$;
comment on function pgpipe_internal.written_columns(regclass, name[], name[]) is
    'The columns that may differ in rows of the same key: all but the key, and what of the key may '
    'differ in a byte.';

create or replace function pgpipe_internal.count_staged(
    stage regclass, key name[], counting boolean)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    staged record;
begin
    execute format('analyze %s (%s)', stage, pgpipe_internal.column_list(key));
    execute format(
        'select count(*) as rows, count(*) filter (where num_nulls(%s) > 0) as nulls '
        'from %s staged', pgpipe_internal.column_list(key, 'staged'), stage) into staged;
    if staged.nulls > 0 or not counting then
        perform pgpipe_internal.check_key(stage, key);
    end if;
    return staged.rows;
end
$$;
comment on function pgpipe_internal.count_staged(regclass, name[], boolean) is
    'How many rows are staged. Raises PP010 if a key is NULL, and without `counting` also if one '
    'occurs twice.';

create or replace function pgpipe_internal.lost_change(
    target regclass, key name[], rejected jsonb)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A row that was rejected is in the snapshot all the same: its earlier version stays.
    select case rejected when '[]' then quote_literal('delete') else format(
               'case when exists (select from jsonb_array_elements(%L) held (key) where %s) '
               'then %L else %L end',
               rejected, pgpipe_internal.key_match(target, key, 'target', 'held.key'), 'keep',
               'delete') end
$$;
comment on function pgpipe_internal.lost_change(regclass, name[], jsonb) is
    'SQL text: what becomes of a row of the target that is not staged.';

create or replace function pgpipe_internal.difference_name(stage regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$ select format('pgpipe_staging.%I', 'pgpipe_difference_' || stage::oid) $$;
comment on function pgpipe_internal.difference_name(regclass) is
    'The table of the keys whose rows differ from those staged.';

drop function if exists pgpipe_internal.find_difference(
    regclass, regclass, name[], name[], text, jsonb, boolean, jsonb);

create or replace function pgpipe_internal.find_difference(
    target regclass, stage regclass, columns name[], key name[], mode text, rejected jsonb,
    counting boolean, changes jsonb, deleted_column name)
    returns regclass  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    difference text := pgpipe_internal.difference_name(stage);
    written name[] := pgpipe_internal.written_columns(target, columns, key);
    differ text := pgpipe_internal.differ(target, written, 'target', 'staged');
    marked text := 'target.' || quote_ident(deleted_column) || ' is not null';
begin
    execute pgpipe_internal.render('merge_difference', jsonb_build_object(
        'difference', difference, 'target', target, 'stage', stage,
        'keys', (select string_agg(format('coalesce(staged.%I, target.%I) as key_%s', part.name,
                                          part.name, part.place), ', ' order by part.place)
                   from unnest(key) with ordinality part (name, place)),
        'is_gone', format('staged.%I is null', key[1]),  -- no part of a key is null
        'is_new', format('target.%I is null', key[1]),
        'kinds', case when changes <> '{}' then
                      pgpipe_internal.change_kinds(target, key, changes, deleted_column)
                      else 'when ' || marked || ' then ''revive'' ' end,
        'still_gone', format(E'\n   and not (staged.%I is null and ', key[1]) || marked || ')',
        'lost', pgpipe_internal.lost_change(target, key, rejected),
        'join', case mode when 'snapshot' then 'full' else 'right' end,
        'same_key', pgpipe_internal.same_key(target, key, 'target', 'staged'),
        'differ', concat_ws(' or ', case when changes <> '{}' then 'staged.pgpipe_deleted' end,
                            marked, differ),
        'count_of_target', case when counting then
            format('union all select %s null, count(*) from %s live',
                   repeat('null, ', cardinality(key)),
                   pgpipe_internal.live_rows(target, deleted_column)) end));
    execute 'analyze ' || difference;
    return difference::regclass;
end
$$;
comment on function pgpipe_internal.find_difference(
    regclass, regclass, name[], name[], text, jsonb, boolean, jsonb, name) is
    'Makes a table of the keys whose rows differ: key_1, key_2, …, and `change`. This is insert, '
    'update, delete, revive for a row that was marked as gone and is staged, or keep for a row '
    'that the snapshot has but could not bring. With `counting`, `held` of one more row is how '
    'many rows the target has that are not marked. With `changes`, a staged delete is absent if it '
    'finds no row, and what is older than its row is superseded.';

drop function if exists pgpipe_internal.count_changes(regclass);

create or replace function pgpipe_internal.count_changes(
    difference regclass,
    out inserts bigint, out updates bigint, out deletes bigint, out keeps bigint,
    out absent bigint, out superseded bigint, out revived bigint, out held bigint)
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format($sql$
        select count(*) filter (where difference.change in ('insert', 'revive')),
               count(*) filter (where difference.change = 'update'),
               count(*) filter (where difference.change = 'delete'),
               count(*) filter (where difference.change = 'keep'),
               count(*) filter (where difference.change = 'absent'),
               count(*) filter (where difference.change = 'superseded'),
               count(*) filter (where difference.change = 'revive'), max(difference.held)
          from %s difference $sql$, difference)
        into inserts, updates, deletes, keeps, absent, superseded, revived, held;
end
$$;
comment on function pgpipe_internal.count_changes(regclass) is
    'How many changes of each kind a difference has. Rows that come back are inserts too.';

drop function if exists pgpipe_internal.compare_staged(
    regclass, regclass, regclass, name[], name[], text, jsonb, jsonb);

create or replace function pgpipe_internal.compare_staged(
    target regclass, seen regclass, stage regclass, columns name[], key name[], mode text,
    rejected jsonb, changes jsonb, deleted_column name,
    out staged bigint, out inserts bigint, out updates bigint, out deletes bigint,
    out absent bigint, out superseded bigint, out revived bigint, out held bigint)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    difference regclass;
    wanted record;
    -- If each row of the target has at most one match, rows of the full join show a double key.
    counting boolean := (mode, rejected) = ('snapshot', '[]')
                        and pgpipe_internal.is_unique(target, key);
begin
    perform pgpipe_internal.require_unique(target, key, mode),
            pgpipe_internal.align_keys(seen, stage, key);
    staged := pgpipe_internal.count_staged(stage, key, counting or changes <> '{}');
    difference := pgpipe_internal.find_difference(seen, stage, columns, key, mode, rejected,
                                                  counting, changes, deleted_column);
    wanted := pgpipe_internal.count_changes(difference);  -- a statement that sees its rows
    inserts := wanted.inserts;
    updates := wanted.updates;
    deletes := wanted.deletes;
    absent := wanted.absent;
    superseded := wanted.superseded;
    revived := wanted.revived;
    perform case when staged + deletes - inserts <> wanted.held
            then pgpipe_internal.check_key(stage, key) end;
    held := staged - inserts + deletes + wanted.keeps;
    if changes <> '{}' then  -- deletes are staged too
        staged := staged - superseded - absent - deletes;
    end if;
end
$$;
comment on function pgpipe_internal.compare_staged(
    regclass, regclass, regclass, name[], name[], text, jsonb, jsonb, name) is
    'Makes the difference of a target and its staged rows, and counts it. `seen` is the target, '
    'or a view of it with the types that its columns will have. `held` is how many rows a '
    'snapshot''s target has; of an upsert, how many of the staged ones it has. Raises PP010 for a '
    'key that is NULL or occurs twice.';
