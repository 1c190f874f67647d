-- History: a table's rows as they were after the last load before some moment.

create or replace function pgpipe.as_of(of_table anyelement, moment anycompatible)
    returns setof anyelement
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    target regclass := (select type.typrelid::regclass from pg_catalog.pg_type type
                         where type.oid = pg_typeof(of_table) and type.typrelid <> 0);
    known pgpipe.history;
    at_ timestamptz := pgpipe_internal.history_moment(moment::text, pg_typeof(moment));
begin
    known := pgpipe_internal.require_history(coalesce(target::text, pg_typeof(of_table)::text),
                                             target, at_);
    return query execute format(
        'select %s from %s history where history.pgpipe_valid_from <= $1 '
        'and (history.pgpipe_valid_to > $1 or history.pgpipe_valid_to is null)',
        pgpipe_internal.typed_columns(target, known.history), known.history) using at_;
end
$$;
comment on function pgpipe.as_of(anyelement, anycompatible) is
    'The rows of a table as loads had left them at a moment, in its type of today. A date means '
    'its end, in the time zone of the session. What a load did counts from the time of the load, '
    'whatever the date of its files. Generated and search columns are NULL, and so is a column '
    'that the table did not have. Raises PP014 for a table without a history, and for a moment '
    'that it cannot answer for. '
    'Example: select id, title from pgpipe.as_of(null::article, current_date)';
