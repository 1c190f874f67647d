-- Pinned values: SQL text that is read later, when a column may have got another type.
-- Then it must run nothing that the owner of that type made: no cast, and no CHECK of a domain.

create or replace function pgpipe_internal.of_type(value anyelement, wanted anyelement)
    returns anyelement  immutable parallel safe  language sql
as $$ select value $$;
comment on function pgpipe_internal.of_type(anyelement, anyelement) is
    'The value, if it has exactly the type of `wanted`. A value of another type finds no function, '
    'so a query fails before it runs a cast if one of its columns has got another type.';

create or replace function pgpipe_internal.is_builtin(type oid)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- An array of PostgreSQL's own has elements of PostgreSQL's own.
    -- 16384 is the first oid that a user's objects get.
    select kind.oid < 16384 and kind.typtype <> 'd'
      from pg_catalog.pg_type kind where kind.oid = is_builtin.type
$$;
comment on function pgpipe_internal.is_builtin(oid) is
    'Whether a type is PostgreSQL''s own and not a domain, so that nobody else made casts of it.';

create or replace function pgpipe_internal.pinned(type oid, value text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Output functions are a superuser's, whatever the type. The test for NULL calls no operator.
    select case when pgpipe_internal.is_builtin(pinned.type)
                then format('pgpipe_internal.of_type(%s, null::%s)', pinned.value,
                            pg_catalog.format_type(pinned.type, -1))
                when pgpipe_internal.is_builtin(base.type)
                then format('(%s)::%s', output.text, pg_catalog.format_type(base.type, -1))
                else output.text end
      from (select pgpipe_internal.base_type(pinned.type) as type) base
     cross join (select concat('case when ', pinned.value, ' is distinct from null then ',
                               'pg_catalog.format(''%s'', ', pinned.value, ') end') as text) output
$$;
comment on function pgpipe_internal.pinned(oid, text) is
    'SQL text: a value as it goes into jsonb. It runs no code of a user''s, also if the column has '
    'got another type since the text was made. A value of a type that is not PostgreSQL''s own '
    'goes as its text.';
