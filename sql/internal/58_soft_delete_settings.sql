-- Which targets keep rows that are gone: switched on and off by the configuration.
-- `wanted` is the name of the column of the marks; '' ends it, and null leaves it as it is.

create or replace function pgpipe_internal.soft_delete_lost(target regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('the column %I of %s, which says what rows are gone, was renamed, dropped or '
                  'altered: rename it back, or write its new name as soft_delete; if it was '
                  'dropped, all rows count as there after: alter table %2$s add column %1$I '
                  'timestamptz', known.column_name, target)
      from pgpipe.soft_delete known
      join pg_catalog.pg_class class on class.oid = known.target
     where known.target = soft_delete_lost.target
       and pgpipe_internal.deleted_column(target) is null
$$;
comment on function pgpipe_internal.soft_delete_lost(regclass) is
    'That the column of the marks is not there any more, and what to do; null if it is.';

create or replace function pgpipe_internal.soft_delete_misfit(target regclass, column_name name)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('soft_delete needs a column of type timestamptz that may be NULL, has no '
                  'default and is not generated, unlike %I of %s: name another one', column_name,
                  target)
      from pg_catalog.pg_attribute item
     where item.attrelid = target and item.attname = column_name
       and (item.atttypid <> 'timestamptz'::regtype or item.attnotnull or item.atthasdef)
    union all
    select format('%s can get no column %I for soft_delete: %s', target, column_name,
                  pgpipe_internal.shape_owner(target))
     where not pgpipe_internal.has_column(target, column_name)
       and pgpipe_internal.shape_owner(target) is not null
$$;
comment on function pgpipe_internal.soft_delete_misfit(regclass, name) is
    'Why a column cannot hold marks, or cannot be added; null if it can.';

create or replace function pgpipe_internal.soft_delete_obstacle(target regclass, wanted text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case
           when wanted is null then pgpipe_internal.soft_delete_lost(target)
           when wanted is distinct from coalesce(known.column_name, '')
                and not pg_has_role(class.relowner, 'usage')
           then format('soft_delete of %s is set by its owner: load once as %I, or as a member of '
                       'it', target, pg_catalog.pg_get_userbyid(class.relowner))
           when wanted = '' then null
           when known.column_name <> wanted
                and pgpipe_internal.has_column(target, known.column_name)
           then format('rows of %s that are gone are marked in %I: write soft_delete = %s, or '
                       'rename the column: alter table %1$s rename column %2$I to %4$I', target,
                       known.column_name, to_json(known.column_name), wanted)
           else coalesce(pgpipe_internal.soft_delete_misfit(target, wanted),
                         case when not pgpipe_internal.has_column(target, wanted)
                              then pgpipe_internal.soft_delete_lost(target) end) end
      from pg_catalog.pg_class class
      left join pgpipe.soft_delete known on known.target = class.oid
     where class.oid = soft_delete_obstacle.target
$$;
comment on function pgpipe_internal.soft_delete_obstacle(regclass, text) is
    'Why rows of a target cannot be marked as wanted, and what to do; null if they can.';

create or replace function pgpipe_internal.set_soft_delete(target regclass, wanted text)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    obstacle text := pgpipe_internal.soft_delete_obstacle(target, wanted);
    known name := (select held.column_name from pgpipe.soft_delete held
                    where held.target = set_soft_delete.target);
begin
    if obstacle is not null then
        raise exception '%', obstacle using errcode = 'PP010';
    elsif wanted is null or wanted = coalesce(known, '') then
        return;
    end if;
    perform pgpipe_internal.refuse_distributed(target, 'soft_delete', 'Leave `soft_delete` out.')
      where wanted <> '';
    delete from pgpipe.soft_delete held  -- also of tables that were dropped
     where held.target = set_soft_delete.target
        or not exists (select from pg_catalog.pg_class class where class.oid = held.target);
    if wanted <> '' then
        if not pgpipe_internal.has_column(target, wanted) then
            execute format('alter table %s add column %I timestamptz', target, wanted);
        end if;
        insert into pgpipe.soft_delete (target, column_name) values (target, wanted);
    end if;
    -- Rows came or went, as a history and an embedder see it.
    insert into pgpipe.history_mark (target, transaction, nested)
    select target, pg_current_xact_id(), true
     where (pgpipe_internal.active_history(target)).target is not null
        on conflict do nothing;
    if exists (select from pgpipe.embedding e where e.target = set_soft_delete.target) then
        perform pgpipe_internal.repair_triggers(target);
    end if;
end
$$;
comment on function pgpipe_internal.set_soft_delete(regclass, text) is
    'Has rows of a target marked from now on, or deleted, as the configuration says. It adds the '
    'column. Raises PP010 if that cannot be.';

create or replace function pgpipe_internal.live_unique(target regclass, rule name)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format(' A row that is marked as gone keeps its values. For others to take them, put '
                  'in the place of %I: create unique index on %s (%s) where %I is null', rule,
                  target, part.list, pgpipe_internal.deleted_column(target))
      from pg_catalog.pg_index index
      join pg_catalog.pg_class class on class.oid = index.indexrelid and class.relname = rule
     cross join lateral (
           select string_agg(pg_catalog.pg_get_indexdef(index.indexrelid, place, true), ', '
                             order by place) as list
             from generate_series(1, index.indnkeyatts) place) part
     where index.indrelid = target and index.indisunique and not index.indisprimary
       and index.indpred is null and pgpipe_internal.deleted_column(target) is not null
$$;
comment on function pgpipe_internal.live_unique(regclass, name) is
    'How values may be unique among the rows that are there; null if rows are deleted.';
