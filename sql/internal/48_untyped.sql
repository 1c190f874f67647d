-- Columns without a type of their own: files had only NULLs in them when they were made.
-- The column's comment says so. It goes with the column, into a dump too, and a user can read it.

create or replace function pgpipe_internal.is_untyped(relation oid, number smallint)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(col_description(relation, number)
                    = 'pgpipe: no value in the files when this column was made', false)
$$;
comment on function pgpipe_internal.is_untyped(oid, smallint) is
    'Whether a column was made for files that had only NULLs in it, or lists of NULLs.';

create or replace function pgpipe_internal.mark_untyped(relation regclass, columns jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    made name;
begin
    for made in select item ->> 'name' from jsonb_array_elements(columns) item
                 where (item ->> 'untyped')::boolean
    loop
        execute format('comment on column %s.%I is %L', relation, made,
                       'pgpipe: no value in the files when this column was made');
    end loop;
end
$$;
comment on function pgpipe_internal.mark_untyped(regclass, jsonb) is
    'Marks those of the columns [{"name", "untyped"}] that are untyped.';

create or replace function pgpipe_internal.has_value(relation regclass, column_name name)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found boolean;
begin
    execute format('select exists (select 1 from %s held where not held.%I is null)',
                   relation, column_name) into found;
    return found;
end
$$;
comment on function pgpipe_internal.has_value(regclass, name) is
    'Whether a column is not NULL in some row.';
