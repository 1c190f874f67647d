-- Soft deletes: which rows of a target are there, and which are gone and kept.

create or replace function pgpipe_internal.deleted_column(target regclass)
    returns name  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select known.column_name from pgpipe.soft_delete known
      join pg_catalog.pg_attribute item
        on item.attrelid = known.target and item.attname = known.column_name
     where known.target = deleted_column.target and item.atttypid = 'timestamptz'::regtype
       and not item.attisdropped
$$;
comment on function pgpipe_internal.deleted_column(regclass) is
    'The column that says since when a row is gone. Null if rows are deleted, or if the column is '
    'not there any more.';

create or replace function pgpipe_internal.live_rows(target regclass, deleted_column name)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when deleted_column is null then target::text
                else format('(select * from %s held where held.%I is null)', target,
                            deleted_column) end
$$;
comment on function pgpipe_internal.live_rows(regclass, name) is
    'SQL text: the rows of a target that are there, for FROM. All, if `deleted_column` is null.';

create or replace function pgpipe_internal.present_condition(e pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when gone is null then e.condition
                else concat_ws(' and ', format('%I is null', gone),
                               '(' || e.condition || E'\n)') end
      from pgpipe_internal.deleted_column(e.target) gone
$$;
comment on function pgpipe_internal.present_condition(pgpipe.embedding) is
    'SQL text: the condition of the rows that a model reads. Those that are gone are none of them.';

create or replace function pgpipe_internal.search_condition(target regclass, filter jsonb)
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    condition text := pgpipe_internal.filter_condition(target, 'row', filter);
    declared name := (select known.column_name from pgpipe.soft_delete known
                       where known.target = search_condition.target);
begin
    if declared is null then
        return condition;
    elsif pgpipe_internal.deleted_column(target) is null then
        raise exception '% has no column % of type timestamptz, which marks rows that are gone',
            target, quote_ident(declared) using errcode = 'PP002',
            hint = 'Rename it back, or let a load set `soft_delete` to its new name, or to false.';
    elsif not has_column_privilege(target, declared, 'select') then
        raise exception 'a search of % leaves out rows by the column %, which % may not read',
            target, quote_ident(declared), quote_ident(current_user) using errcode = '42501',
            hint = format('grant select (%I) on %s to %I', declared, target, current_user);
    end if;
    return concat_ws(' and ', format('row.%I is null', declared), nullif(condition, 'true'));
end
$$;
comment on function pgpipe_internal.search_condition(regclass, jsonb) is
    'SQL text: the row `row` of a target is not marked as gone, and passes a filter. Raises PP002 '
    'and PP003 as filter_condition. Raises PP002 if the column of the marks is gone, 42501 if the '
    'caller may not read it: a search shows no row that is gone.';
