-- Reading a history: which moment is meant, whether it can be answered, and in which type.

create or replace function pgpipe_internal.history_moment(given text, type regtype)
    returns timestamptz  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Midnight at its beginning would be before the load of the date.
    select case when type = 'date'::regtype or given ~ '^\s*\d{4}-\d{1,2}-\d{1,2}\s*$'
                then (given::date + 1)::timestamptz - interval '1 microsecond'
                else given::timestamptz end
$$;
comment on function pgpipe_internal.history_moment(text, regtype) is
    'The moment that a date, a time or a text means. A date means its end.';

create or replace function pgpipe_internal.require_history(
    name text, target regclass, moment timestamptz)
    returns pgpipe.history  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known pgpipe.history;
begin
    select held.* into known from pgpipe.history held
      join pg_catalog.pg_class class on class.oid = held.target
      join pg_catalog.pg_class kept on kept.oid = held.history and kept.relowner = class.relowner
     where held.target = require_history.target;
    if known.target is null then
        raise exception '% has no history', name using errcode = 'PP014',
            hint = 'Write history = true for its entity; the next load begins it.';
    elsif row_security_active(target) then
        raise exception 'the history of % shows no row to a role that policies restrict', name
            using errcode = 'insufficient_privilege';
    elsif moment < known.since or known.pauses @> moment or moment is null then
        raise exception 'the history of % cannot answer for %', name, coalesce(moment::text, 'NULL')
            using errcode = 'PP014', hint = format(
                'It begins at %s%s.', known.since, case when known.pauses <> '{}' then format(
                    ', and was not kept in %s', known.pauses) end);
    end if;
    return known;
end
$$;
comment on function pgpipe_internal.require_history(text, regclass, timestamptz) is
    'The history of a table. Raises PP014 if it has none, or none of this moment.';

create or replace function pgpipe_internal.typed_columns(target regclass, history regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(format(case when kept.name is null then 'null::%2$s'
                                  else 'history.%1$I::%2$s' end, item.attname,
                             pg_catalog.format_type(item.atttypid, item.atttypmod)), ', '
                      order by item.attnum)
      from pg_catalog.pg_attribute item
      left join pgpipe_internal.history_columns(target) listed on listed.name = item.attname
      left join pgpipe_internal.history_columns(history) kept on kept.name = listed.name
     where item.attrelid = target and item.attnum > 0 and not item.attisdropped
$$;
comment on function pgpipe_internal.typed_columns(regclass, regclass) is
    'SQL text: the columns of a target, from its history.';
