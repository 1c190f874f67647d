-- Types: which operators compare the values of a type, and which SQL turns them into JSON and back without running its owner's code.
-- Operators are never looked up by name: with a search_path, or a type, of somebody else's the name finds somebody else's operator.
-- Nor are casts: the owner of an enum, a range or a composite type may make casts of it. A type's input and output functions can be
-- trusted, for only a superuser makes a base type.

create or replace function pgpipe_internal.base_type(type oid)
    returns oid  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with recursive chain as (
        select base_type.type as type
        union all
        select t.typbasetype from chain c join pg_catalog.pg_type t on t.oid = c.type where t.typtype = 'd'
    )
    select c.type from chain c join pg_catalog.pg_type t on t.oid = c.type where t.typtype <> 'd'
$$;
comment on function pgpipe_internal.base_type(oid) is 'The type that a domain is made of; any other type is its own.';

create or replace function pgpipe_internal.element_type(type oid)
    returns oid  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select t.typelem from pg_catalog.pg_type t
     where t.oid = element_type.type and t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc and t.typlen = -1
$$;
comment on function pgpipe_internal.element_type(oid) is 'The type of an array''s elements; null for a type that is not an array.';

create or replace function pgpipe_internal.column_type_of(target regclass, column_name name)
    returns oid  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select a.atttypid from pg_catalog.pg_attribute a
     where a.attrelid = column_type_of.target and a.attname = column_type_of.column_name
       and a.attnum > 0 and not a.attisdropped
$$;
comment on function pgpipe_internal.column_type_of(regclass, name) is 'The type of a column; null where the table lacks it.';

create or replace function pgpipe_internal.is_trusted_type(type oid)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- 16384 is the first oid that a user's objects get. The types of an extension belong to the superuser who installs it.
    select b.oid < 16384 or exists (
               select from pg_catalog.pg_depend d
                where d.classid = 'pg_catalog.pg_type'::regclass and d.objid = b.oid
                  and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e')
      from (select pgpipe_internal.base_type(coalesce(pgpipe_internal.element_type(pgpipe_internal.base_type(is_trusted_type.type)),
                                             is_trusted_type.type)) as oid) b
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
        select below.oid from part p
          join pg_catalog.pg_type t on t.oid = p.oid and t.oid >= 16384
         cross join lateral (
               select t.typelem as oid where t.typelem <> 0
               union all select a.atttypid from pg_catalog.pg_attribute a
                          where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped
               union all select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid
               union all select r.rngtypid from pg_catalog.pg_range r where r.rngmultitypid = t.oid) below
    )
    select exists (select from part p join pg_catalog.pg_type t on t.oid = p.oid where t.typtype = 'd')
$$;
comment on function pgpipe_internal.holds_domain(oid) is
    'Whether to read a value of the type, from its text, runs the CHECK of a domain.';

create or replace function pgpipe_internal.type_operator(
    type oid, sign text default '=', out operator text, out schema name, out operand oid)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- As PostgreSQL chooses a type's default operator class: its own, or that of the type it is stored as, or a polymorphic one.
    select format('operator(%I.%s)', n.nspname, o.oprname), n.nspname, c.opcintype
      from pg_catalog.pg_type y
      join pg_catalog.pg_opclass c on c.opcdefault and (
           c.opcintype = y.oid
           or c.opcintype = case y.typtype when 'e' then 'anyenum'::regtype when 'r' then 'anyrange'::regtype
                                           when 'm' then 'anymultirange'::regtype when 'c' then 'record'::regtype
                                           else case when pgpipe_internal.element_type(y.oid) is not null then 'anyarray'::regtype end end
           or exists (select from pg_catalog.pg_cast k
                       where k.castsource = y.oid and k.casttarget = c.opcintype and k.castmethod = 'b' and k.castcontext = 'i'))
      join pg_catalog.pg_type i on i.oid = c.opcintype
      join pg_catalog.pg_am m on m.oid = c.opcmethod
      join (values ('btree', '<', 1), ('btree', '<=', 2), ('btree', '=', 3), ('btree', '>=', 4), ('btree', '>', 5),
                   ('hash', '=', 1)) w (method, sign, strategy) on w.method = m.amname and w.sign = type_operator.sign
      join pg_catalog.pg_amop s on s.amopfamily = c.opcfamily and s.amoplefttype = c.opcintype and s.amoprighttype = c.opcintype
       and s.amopstrategy = w.strategy
      join pg_catalog.pg_operator o on o.oid = s.amopopr
      join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
     where y.oid = pgpipe_internal.base_type(type_operator.type)
     order by m.amname, c.opcintype = y.oid desc, i.typispreferred desc, c.oid limit 1
$$;
comment on function pgpipe_internal.type_operator(oid, text) is
    'SQL text: the operator <, <=, =, >= or > of a type''s default operator class (btree, for = '
    'also hash), with its schema and the type that it takes. Null if the type has none.';

create or replace function pgpipe_internal.compare(type oid, a text, sign text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Nobody adds an operator to pg_catalog. Elsewhere another one may fit a domain better than that of its base type.
    select format('%s %s %s', operand.a, o.operator, operand.b)
      from pgpipe_internal.type_operator(compare.type, compare.sign) o
     cross join lateral (
           select case when cast_.wanted then format('(%s)::%s', compare.a, cast_.name) else compare.a end as a,
                  case when not cast_.wanted then compare.b
                       when compare.b like 'any (%' then format('any (%s::%s[])', substr(compare.b, 5), cast_.name)
                       else format('(%s)::%s', compare.b, cast_.name) end as b
             from (select o.schema <> 'pg_catalog' and o.operand <> compare.type as wanted,
                          pg_catalog.format_type(o.operand, -1) as name) cast_) operand
     where o.operator is not null
$$;
comment on function pgpipe_internal.compare(oid, text, text, text) is
    'SQL text: two values of a type compared by its default operator class; null where it has none.';

create or replace function pgpipe_internal.same_key(target regclass, columns name[], a text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(pgpipe_internal.column_type_of(target, c), format('%s.%I', same_key.a, c), '=',
                                     format('%s.%I', same_key.b, c)), ' and ' order by n)
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.same_key(regclass, name[], text, text) is
    'SQL text: the rows `a` and `b` have the same key, by the equality of the columns'' types.';

create or replace function pgpipe_internal.changed(columns name[], a text, b text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- By the bytes: 1.0 is not 1.00, a collation that ignores case does not count, and no cast or operator of a type is met.
    select format('row(%s)::pg_catalog.record operator(pg_catalog.*<>) row(%s)::pg_catalog.record',
                  string_agg(format('%s.%I', changed.a, c), ', ' order by n), string_agg(format('%s.%I', changed.b, c), ', ' order by n))
      from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe_internal.changed(name[], text, text) is
    'SQL text: a column of the rows `a` and `b`, of one table, is stored otherwise.';

create or replace function pgpipe_internal.differ(target regclass, columns name[], a text, b text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- As `changed`, but a numeric by its value: a file gives all values of a column one scale, and if
    -- the next file has another, a whole table would be written for nothing.
    select format('row(%s)::pg_catalog.record operator(pg_catalog.*<>) row(%s)::pg_catalog.record',
                  string_agg(format(v.value, differ.a, k.c), ', ' order by k.n),
                  string_agg(format(v.value, differ.b, k.c), ', ' order by k.n))
      from unnest(columns) with ordinality k (c, n)
     cross join lateral (
           select case pgpipe_internal.base_type(pgpipe_internal.column_type_of(target, k.c))
                  when 'numeric'::regtype then 'pg_catalog.trim_scale(%s.%I)' else '%s.%I' end) v (value)
$$;
comment on function pgpipe_internal.differ(regclass, name[], text, text) is
    'SQL text: a column of the rows `a` and `b` differs in a byte, or a numeric in its value.';

create or replace function pgpipe_internal.json_value(type oid, value text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- to_jsonb would call a cast to json that the type's owner made; format calls the type's output function.
    select case when pgpipe_internal.is_trusted_type(json_value.type) then json_value.value
                else format('case when %1$s is distinct from null then pg_catalog.format(''%%s'', %1$s) end', json_value.value) end
$$;
comment on function pgpipe_internal.json_value(oid, text) is
    'SQL text: a value in the form in which it goes into jsonb: that of a type whose owner may make casts as text.';
