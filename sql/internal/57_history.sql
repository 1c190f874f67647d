-- History: the versions that the rows of a target had. A load writes them with its own rows, from
-- the keys that differ. What others wrote between two loads is found by comparing all rows, and
-- only if a trigger of the target has marked that somebody did.

create or replace function pgpipe_internal.mark_history()
    returns trigger
    security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- One mark stands for all who come after, as long as no load can take it away before they
    -- commit. In other isolation levels a lock could fail.
    if current_setting('transaction_isolation') = 'read committed' then
        perform from pgpipe.history_mark mark
          where mark.target = tg_relid
            and (mark.nested or mark.transaction <> pg_current_xact_id())
          limit 1 for key share skip locked;
        if found then
            return null;
        end if;
    end if;
    insert into pgpipe.history_mark (target, transaction, nested)
    select tg_relid, pg_current_xact_id(), pg_trigger_depth() > 1
     where exists (select from pgpipe.history known where known.target = tg_relid)
    on conflict do nothing;
    return null;
end
$$;
comment on function pgpipe_internal.mark_history() is
    'Trigger: somebody wrote rows of a target whose history is kept. It says not which. A mark of '
    'somebody else serves as well: so marks do not pile up where no load comes.';

create or replace function pgpipe_internal.active_history(target regclass)
    returns pgpipe.history  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select known.* from pgpipe.history known
      join pg_catalog.pg_class class on class.oid = known.target
      join pg_catalog.pg_class held on held.oid = known.history
                                    and held.relowner = class.relowner
     where known.target = active_history.target and not upper_inf(known.pauses)
$$;
comment on function pgpipe_internal.active_history(regclass) is
    'The history of a target that is being written; null if there is none. A table of another '
    'owner is none: a load would alter it.';

create or replace function pgpipe_internal.history_columns(target regclass)
    returns table (name name, type text, collation_clause text)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of the type below a domain, which may refuse the NULL of a version without the column.
    select item.attname,
           pg_catalog.format_type(base.oid, case base.oid when item.atttypid
                                            then item.atttypmod else -1 end),
           case when item.attcollation <> 0 then format('collate %I.%I', home.nspname,
                                                        known.collname) else '' end
      from pgpipe_internal.target_columns(target) listed
      join pg_catalog.pg_attribute item
        on item.attrelid = history_columns.target and item.attname = listed.name
     cross join lateral (select pgpipe_internal.base_type(item.atttypid) as oid) base
      left join pg_catalog.pg_collation known on known.oid = item.attcollation
      left join pg_catalog.pg_namespace home on home.oid = known.collnamespace
     where listed.filled <> all ('{search,generated}')
       and not exists (select from pgpipe.search_fill pending
                        where pending.target = history_columns.target
                          and pending.column_name = item.attname)
     order by item.attnum
$$;
comment on function pgpipe_internal.history_columns(regclass) is
    'The columns of a target that its history has: all but generated ones and search columns.';

create or replace function pgpipe_internal.fits_type(
    history regclass, column_name name, type text)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    loses boolean;
begin
    execute format(
        'select exists (select from %1$s held where held.%2$I is not null '
        'and (held.%2$I::%3$s::%4$s)::text is distinct from held.%2$I::text)',
        history, column_name, type,
        (select pg_catalog.format_type(item.atttypid, item.atttypmod)
           from pg_catalog.pg_attribute item
          where item.attrelid = history and item.attname = column_name)) into loses;
    return not loses;
exception when data_exception or cannot_coerce or syntax_error_or_access_rule_violation then
    return false;
end
$$;
comment on function pgpipe_internal.fits_type(regclass, name, text) is
    'Whether all values of a column of a history can be had in another type without a loss.';

create or replace function pgpipe_internal.follow_column(
    history regclass, column_name name, type text, collation_clause text)
    returns boolean  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.has_column(history, column_name) then
        if pgpipe_internal.fits_type(history, column_name, type) then
            begin
                execute format('alter table %s alter column %I type %s %s using %2$I::%3$s',
                               history, column_name, type, collation_clause);
                return false;
            exception when feature_not_supported then
                null;  -- a view shows it
            end;
        end if;
        execute format('alter table %s rename column %I to %I', history, column_name,
                       pgpipe_internal.derived_name(column_name, to_char(
                           clock_timestamp(), '"_until_"YYYYMMDD_HH24MISSUS')));
    end if;
    execute format('alter table %s add column %I %s %s', history, column_name, type,
                   collation_clause);
    return true;
end
$$;
comment on function pgpipe_internal.follow_column(regclass, name, text, text) is
    'Gives a history a column of its target, or its new type. Values that the type would change '
    'stay in a column whose name says until when it was written. Returns whether one was added.';

create or replace function pgpipe_internal.follow_shape(target regclass, history regclass)
    returns boolean  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- What the target lacks now stays: earlier versions have values of it.
    select coalesce(bool_or(pgpipe_internal.follow_column(
               follow_shape.history, wanted.name, wanted.type, wanted.collation_clause)), false)
      from pgpipe_internal.history_columns(target) wanted
      left join pgpipe_internal.history_columns(history) held on held.name = wanted.name
     where (held.type, held.collation_clause)
           is distinct from (wanted.type, wanted.collation_clause)
$$;
comment on function pgpipe_internal.follow_shape(regclass, regclass) is
    'Gives a history the columns and types of its target. Returns whether a column was added.';

create or replace function pgpipe_internal.take_marks(target regclass)
    returns boolean  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    foreign_ boolean := exists (
        select from pgpipe.history_mark mark
         where mark.target = take_marks.target
           and (mark.nested or mark.transaction <> pg_current_xact_id()));
begin
    -- A mark that somebody locks stands for what he has not committed yet: it is for the next load.
    delete from pgpipe.history_mark mark
     where mark.ctid in (select free.ctid from pgpipe.history_mark free
                          where free.target = take_marks.target for update skip locked);
    return foreign_;
end
$$;
comment on function pgpipe_internal.take_marks(regclass) is
    'Whether somebody but this load wrote rows of a target since the marks were taken. A statement '
    'after this one sees all that they wrote.';

create or replace function pgpipe_internal.history_differs(target regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(format('row(%s)::pg_catalog.record operator(pg_catalog.*<>) '
                           'row(%s)::pg_catalog.record',
                           string_agg(format('target.%I::%s', kept.name, kept.type), ', '),
                           string_agg(format('history.%I::%s', kept.name, kept.type), ', ')),
                    'false')
      from pgpipe_internal.history_columns(target) kept
$$;
comment on function pgpipe_internal.history_differs(regclass) is
    'SQL text: a row of the target is not as its history has it.';

create or replace function pgpipe_internal.find_versions(
    target regclass, history regclass, key name[])
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    difference text := format('pgpipe_staging.%I', 'pgpipe_history_' || target::oid);
begin
    execute pgpipe_internal.render('merge_history_find', jsonb_build_object(
        'difference', difference, 'history', history,
        'live_rows', pgpipe_internal.live_rows(target, pgpipe_internal.deleted_column(target)),
        'keys', (select string_agg(format('coalesce(target.%1$I, history.%1$I) as key_%2$s',
                                          part.name, part.place), ', ' order by part.place)
                   from unnest(key) with ordinality part (name, place)),
        'is_gone', format('target.%I is null', key[1]),
        'is_new', format('history.%I is null', key[1]),
        'same_key', pgpipe_internal.same_key(target, key, 'target', 'history'),
        'differ', pgpipe_internal.history_differs(target)));
    execute 'analyze ' || difference;
    return difference::regclass;
end
$$;
comment on function pgpipe_internal.find_versions(regclass, regclass, name[]) is
    'Makes a table of the keys whose rows are not as the history has them, as find_difference.';

create or replace function pgpipe_internal.write_versions(
    known pgpipe.history, difference regclass, key name[], changes text[], moment timestamptz)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    parts jsonb := jsonb_build_object('history', known.history, 'difference', difference,
                                      'changes', quote_literal(changes));
    of_files date := (
        select max(load.date) from pgpipe.load load
          join pg_catalog.pg_class class on class.oid = known.target
          join pg_catalog.pg_namespace home on home.oid = class.relnamespace
         where (load.schema, load.entity) = (home.nspname, class.relname)
           and load.finished_at is null);
begin
    execute pgpipe_internal.render('merge_history_close', parts || jsonb_build_object(
        'same_key', pgpipe_internal.same_numbered(known.target, key, 'difference', 'history')))
        using moment, of_files;
    execute pgpipe_internal.render('merge_history_open', (
        select parts || jsonb_build_object(
                   'live_rows', pgpipe_internal.live_rows(
                       known.target, pgpipe_internal.deleted_column(known.target)),
                   'columns', string_agg(format('%I, ', kept.name), ''),
                   'values', string_agg(format('target.%I, ', kept.name), ''),
                   'same_key', pgpipe_internal.same_numbered(known.target, key, 'difference',
                                                             'target'))
          from pgpipe_internal.history_columns(known.target) kept)) using moment, of_files;
end
$$;
comment on function pgpipe_internal.write_versions(
    pgpipe.history, regclass, name[], text[], timestamptz) is
    'Ends the versions of the keys of a difference that have one of `changes`, and begins those '
    'that the target has now.';

create or replace function pgpipe_internal.prune_history(
    known pgpipe.history, moment timestamptz)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if known.keep is not null then
        execute pgpipe_internal.render('merge_history_prune', jsonb_build_object(
            'history', known.history, 'history_name', quote_literal(known.history)))
            using moment - known.keep;
    end if;
    update pgpipe.history held
       set written_at = moment, since = greatest(held.since, moment - held.keep)
     where held.target = known.target;
end
$$;
comment on function pgpipe_internal.prune_history(pgpipe.history, timestamptz) is
    'Deletes versions that ended before the time that is kept, at most a million, and notes when '
    'the history was written.';

create or replace function pgpipe_internal.keep_versions(
    target regclass, stage regclass, key name[], changes text[], whole boolean)
    returns void
    volatile  set search_path = pg_catalog, pg_temp  set work_mem = '128MB'
    language plpgsql
as $$
declare
    known pgpipe.history := pgpipe_internal.active_history(target);
    difference regclass;
    -- All that one transaction writes has one time, and no version ends before it began.
    moment timestamptz;
begin
    if known.target is null then
        return;
    end if;
    moment := greatest(now(), known.written_at);
    whole := pgpipe_internal.follow_shape(target, known.history) or whole;
    -- A cascade within the table is a statement of this load, as its mark has it.
    whole := pgpipe_internal.take_marks(target) or pgpipe_internal.refers_to_itself(target)
             or whole;
    if whole then
        difference := pgpipe_internal.find_versions(target, known.history, key);
        perform pgpipe_internal.write_versions(known, difference, key, '{insert,update,delete}',
                                               moment);
        execute format('drop table %s', difference);
    else
        perform pgpipe_internal.write_versions(known, pgpipe_internal.difference_name(stage),
                                               key, changes, moment);
    end if;
    perform pgpipe_internal.prune_history(known, moment);
end
$$;
comment on function pgpipe_internal.keep_versions(
    regclass, regclass, name[], text[], boolean) is
    'Writes the history of what a merge has just written: of the keys of its difference that have '
    'one of `changes`. All rows are compared instead if `whole`, or if somebody else wrote rows '
    'since the last load. It does nothing for a target without history.';

create or replace function pgpipe_internal.keep_merged(
    target regclass, stage regclass, key name[], deletes_later boolean, left_out bigint,
    kept bigint)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.keep_versions(
               target, stage, key,
               '{insert,update,revive}'::text[] || case when deletes_later then '{}'::text[]
                                                 else '{delete}' end,
               left_out > 0 or coalesce(kept, 0) > 0 or pgpipe_internal.has_rules(target))
$$;
comment on function pgpipe_internal.keep_merged(
    regclass, regclass, name[], boolean, bigint, bigint) is
    'Writes the history of a merge. If the target took other rows than it was given, all are '
    'compared.';
