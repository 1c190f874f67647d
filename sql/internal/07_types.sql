-- Types: which operators compare the values of a type, and which SQL turns them into JSON and
-- back, without running code of the type's owner.
-- Operators are never looked up by name: with a search_path, or a type, of somebody else's the
-- name finds somebody else's operator. Nor are casts: the owner of an enum, a range or a composite
-- type may make casts of it. A type's input and output functions can be trusted, because only a
-- superuser makes a base type.

create or replace function pgpipe_internal.base_type(type oid)
    returns oid  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    base oid := type;
    below oid;
begin
    -- PostgreSQL plans a function in SQL again in each statement, and this one is called often.
    loop
        select known.typbasetype into below from pg_catalog.pg_type known
         where known.oid = base and known.typtype = 'd';
        exit when not found;
        base := below;
    end loop;
    return base;
end
$$;
comment on function pgpipe_internal.base_type(oid) is
    'The type that a domain is made of; any other type is its own.';

create or replace function pgpipe_internal.element_type(type oid)
    returns oid  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select known.typelem from pg_catalog.pg_type known
     where known.oid = element_type.type and known.typlen = -1
       and known.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
$$;
comment on function pgpipe_internal.element_type(oid) is
    'The type of an array''s elements; null for a type that is not an array.';

create or replace function pgpipe_internal.column_type_of(target regclass, column_name name)
    returns oid  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select item.atttypid from pg_catalog.pg_attribute item
     where item.attrelid = column_type_of.target and item.attname = column_type_of.column_name
       and item.attnum > 0 and not item.attisdropped
$$;
comment on function pgpipe_internal.column_type_of(regclass, name) is
    'The type of a column; null where the table lacks it.';

create or replace function pgpipe_internal.is_trusted_type(type oid)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- 16384 is the first oid that a user's objects get. The types of an extension belong to the
    -- superuser who installs it.
    select base.oid < 16384 or exists (
               select from pg_catalog.pg_depend link
                where link.classid = 'pg_catalog.pg_type'::regclass and link.objid = base.oid
                  and link.refclassid = 'pg_catalog.pg_extension'::regclass
                  and link.deptype = 'e')
      from (select pgpipe_internal.base_type(coalesce(
                       pgpipe_internal.element_type(
                           pgpipe_internal.base_type(is_trusted_type.type)),
                       is_trusted_type.type)) as oid) base
$$;
comment on function pgpipe_internal.is_trusted_type(oid) is
    'Whether the casts of a type are PostgreSQL''s own or an extension''s. Of an array it asks '
    'about its elements'' casts, of a domain about those of the type below it.';

create or replace function pgpipe_internal.holds_domain(type oid)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with recursive part as (
        select holds_domain.type as oid
        union
        select below.oid from part
          join pg_catalog.pg_type known on known.oid = part.oid and known.oid >= 16384
         cross join lateral (
               select known.typelem as oid where known.typelem <> 0
               union all
               select item.atttypid from pg_catalog.pg_attribute item
                where item.attrelid = known.typrelid and known.typrelid <> 0
                  and item.attnum > 0 and not item.attisdropped
               union all
               select span.rngsubtype from pg_catalog.pg_range span
                where span.rngtypid = known.oid
               union all
               select span.rngtypid from pg_catalog.pg_range span
                where span.rngmultitypid = known.oid) below
    )
    select exists (select from part join pg_catalog.pg_type known on known.oid = part.oid
                    where known.typtype = 'd')
$$;
comment on function pgpipe_internal.holds_domain(oid) is
    'Whether to read a value of the type, from its text, runs the CHECK of a domain.';

create or replace function pgpipe_internal.type_operator(
    type oid, sign text default '=', out operator text, out schema name, out operand oid)
    stable strict  set search_path = pg_catalog, pg_temp
    -- Planned once a session, as written: to plan it takes far longer than to run it.
    set plan_cache_mode = force_generic_plan set join_collapse_limit = 1
    set enable_hashjoin = off set enable_mergejoin = off
    language plpgsql
as $$
declare
    base constant oid := pgpipe_internal.base_type(type);
    -- As PostgreSQL chooses a type's default operator class: its own, or that of the type that it
    -- is stored as, or a polymorphic one.
    takers constant oid[] := base || array(
        select way.casttarget from pg_catalog.pg_cast way
         where way.castsource = base and way.castmethod = 'b' and way.castcontext = 'i') || array(
        select case known.typtype when 'e' then 'anyenum'::regtype when 'r' then 'anyrange'
                                  when 'm' then 'anymultirange' when 'c' then 'record'
               else case when pgpipe_internal.element_type(base) is not null
                         then 'anyarray'::regtype end end::oid
          from pg_catalog.pg_type known where known.oid = base);
begin
    select format('operator(%I.%s)', home.nspname, found.oprname), home.nspname, class.opcintype
      into operator, schema, operand
      from pg_catalog.pg_opclass class
      join pg_catalog.pg_type input on input.oid = class.opcintype
      join pg_catalog.pg_am method on method.oid = class.opcmethod
      join (values ('btree', '<', 1), ('btree', '<=', 2), ('btree', '=', 3), ('btree', '>=', 4),
                   ('btree', '>', 5), ('hash', '=', 1)) wanted (method, sign, strategy)
        on wanted.method = method.amname and wanted.sign = type_operator.sign
      join pg_catalog.pg_amop entry
        on entry.amopfamily = class.opcfamily and entry.amopstrategy = wanted.strategy
       and entry.amoplefttype = class.opcintype and entry.amoprighttype = class.opcintype
      join pg_catalog.pg_operator found on found.oid = entry.amopopr
      join pg_catalog.pg_namespace home on home.oid = found.oprnamespace
     where class.opcdefault and class.opcintype = any (takers)
     order by method.amname, class.opcintype = base desc, input.typispreferred desc,
              class.oid
     limit 1;
end
$$;
comment on function pgpipe_internal.type_operator(oid, text) is
    'SQL text: the operator <, <=, =, >= or > of a type''s default operator class (btree, for = '
    'also hash), with its schema and the type that it takes. Null if the type has none.';

create or replace function pgpipe_internal.compare(type oid, a text, sign text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Nobody adds an operator to pg_catalog. Elsewhere another one may fit a domain better than
    -- that of its base type, so the operands are cast to the type that the operator takes.
    select format('%s %s %s', operand.a, known.operator, operand.b)
      from pgpipe_internal.type_operator(compare.type, compare.sign) known
     cross join lateral (
           select known.schema <> 'pg_catalog' and known.operand <> compare.type as wanted,
                  pg_catalog.format_type(known.operand, -1) as name) conversion
     cross join lateral (
           select case when conversion.wanted then format('(%s)::%s', compare.a, conversion.name)
                       else compare.a end as a,
                  case when not conversion.wanted then compare.b
                       when compare.b like 'any (%'
                       then format('any (%s::%s[])', substr(compare.b, 5), conversion.name)
                       else format('(%s)::%s', compare.b, conversion.name) end as b) operand
     where known.operator is not null
$$;
comment on function pgpipe_internal.compare(oid, text, text, text) is
    'SQL text: two values of a type compared by its default operator class; null where it has '
    'none.';

create or replace function pgpipe_internal.same_key(target regclass, columns name[], a text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(
               pgpipe_internal.column_type_of(target, part.name), format('%s.%I', a, part.name),
               '=', format('%s.%I', b, part.name)), ' and ' order by part.place)
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.same_key(regclass, name[], text, text) is
    'SQL text: the rows `a` and `b` have the same key, by the equality of the columns'' types.';

create or replace function pgpipe_internal.changed(columns name[], a text, b text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- By the bytes: 1.0 is not 1.00, a collation that ignores case does not count, and no cast or
    -- operator of a type is met.
    select format('row(%s)::pg_catalog.record operator(pg_catalog.*<>) '
                  'row(%s)::pg_catalog.record',
                  string_agg(format('%s.%I', a, part.name), ', ' order by part.place),
                  string_agg(format('%s.%I', b, part.name), ', ' order by part.place))
      from unnest(columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.changed(name[], text, text) is
    'SQL text: a column of the rows `a` and `b`, of one table, is stored otherwise.';

create or replace function pgpipe_internal.differ(target regclass, columns name[], a text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- As `changed`, but a numeric by its value: a file gives all values of a column one scale, and
    -- if the next file has another, a whole table would be written for nothing. Citus loses the
    -- cast of a row, which the operator needs and its function does not.
    select format(case when pgpipe_internal.is_distributed(target)
                  then 'pg_catalog.record_image_ne(row(%s), row(%s))'
                  else 'row(%s)::pg_catalog.record operator(pg_catalog.*<>) '
                       'row(%s)::pg_catalog.record' end,
                  string_agg(format(value.form, a, part.name), ', ' order by part.place),
                  string_agg(format(value.form, b, part.name), ', ' order by part.place))
      from unnest(columns) with ordinality part (name, place)
     cross join lateral (
           select case pgpipe_internal.base_type(
                           pgpipe_internal.column_type_of(target, part.name))
                  when 'numeric'::regtype then 'pg_catalog.trim_scale(%s.%I)'
                  else '%s.%I' end) value (form)
$$;
comment on function pgpipe_internal.differ(regclass, name[], text, text) is
    'SQL text: a column of the rows `a` and `b` differs in a byte, or a numeric in its value.';

create or replace function pgpipe_internal.json_value(type oid, value text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- to_jsonb would call a cast to json that the type's owner made; format calls the type's
    -- output function.
    select case when pgpipe_internal.is_trusted_type(json_value.type) then value
                else concat('case when ', value, ' is distinct from null then ',
                            'pg_catalog.format(''%s'', ', value, ') end') end
$$;
comment on function pgpipe_internal.json_value(oid, text) is
    'SQL text: a value in the form in which it goes into jsonb: that of a type whose owner may '
    'make casts as text.';
