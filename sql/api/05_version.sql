-- The version of the schema, which every client compares with its own before it works.

create or replace function pgpipe.schema_version(out version int, out oldest int)
    immutable  set search_path = pg_catalog, pg_temp  language sql
as $$ select 3, 3 $$;
comment on function pgpipe.schema_version() is
    'The version of what lies in the schema pgpipe, and the oldest version of a client that it '
    'still serves. Raised with a release: the first by any change of migrations/ or sql/, the '
    'second only where older workers would go wrong. '
    'Example: select version, oldest from pgpipe.schema_version()';
