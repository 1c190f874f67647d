-- The types of columns: of targets and those that users declare, and texts read as their values.

create or replace function pgpipe_internal.item_type(
    array_type oid, modifier int, out oid oid, out base text, out labels text[], out reads text)
    returns setof record
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- A domain's values are sent as those below it: of numbers, not within an array. plpgsql,
    -- because column_type, which calls this, comes later.
    return query
    select item.oid, case when item.typtype = 'd' and item.typcategory not in ('S', 'E')
                          then quote_ident(item.typname) else kind.base end,
           kind.labels, kind.reads
      from pg_catalog.pg_type item
     cross join lateral pgpipe_internal.column_type(item.oid, item_type.modifier) kind
     where item.oid = pgpipe_internal.element_type(item_type.array_type);
end
$$;
comment on function pgpipe_internal.item_type(oid, int) is
    'The type of an array''s elements, as column_type; no row for another type.';

create or replace function pgpipe_internal.column_type(
    type oid, modifier int, out type_name text, out base text, out labels text[],
    out element oid, out reads text)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A domain is sent as the type below it, an enum as its labels, and an array of either
    -- likewise. A type of an extension is known by its bare name.
    with recursive below (oid, modifier, kind) as (
        select known.oid, column_type.modifier, known.typtype
          from pg_catalog.pg_type known where known.oid = column_type.type
        union all
        select known.oid, domain.typtypmod, known.typtype
          from below
          join pg_catalog.pg_type domain on domain.oid = below.oid and domain.typtype = 'd'
          join pg_catalog.pg_type known on known.oid = domain.typbasetype
    )
    select pg_catalog.format_type(column_type.type, column_type.modifier),
           case when below.kind = 'e' then 'text'
                when part.oid is not null then concat(part.base, '[]')
                when below.kind = 'b' then regexp_replace(named.below, '^.+\.', '')
                else named.below end,
           coalesce(part.labels,
                    (select array_agg(label.enumlabel::text order by label.enumsortorder)
                       from pg_catalog.pg_enum label where label.enumtypid = below.oid)),
           coalesce(part.oid, 0),
           case when part.oid is not null then part.reads
                when below.kind in ('b', 'r', 'm') and known.typsend <> 0
                     and known.typreceive <> 0 then named.below end
      from below
      join pg_catalog.pg_type known on known.oid = below.oid
     cross join lateral (select pg_catalog.format_type(below.oid, below.modifier) as below) named
      left join lateral pgpipe_internal.item_type(below.oid, below.modifier) part on true
     where below.kind <> 'd'
$$;
comment on function pgpipe_internal.column_type(oid, int) is
    'A type by its full name, the type in which its values are sent, the labels of an enum, and '
    'the oid of an array''s elements, else 0. `reads` is the type, or that of the elements, if its '
    'input function can read texts for COPY.';

create or replace function pgpipe_internal.target_columns(target regclass)
    returns table (name name, type text, base text, labels text[], element oid, reads text,
                   filled text, required boolean, defaulted boolean, identity boolean,
                   untyped boolean)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select item.attname, type.type_name, type.base, type.labels, type.element, type.reads,
           case when exists (select from pgpipe.search declared
                              where declared.target = target_columns.target
                                and declared.column_name = item.attname)
                then 'search'
                when item.attgenerated <> '' then 'generated'
                when item.attidentity = 'a' then 'identity'
                else '' end,
           item.attnotnull or (select known.typnotnull from pg_catalog.pg_type known
                                where known.oid = item.atttypid),
           item.atthasdef or item.attidentity <> '', item.attidentity <> '',
           pgpipe_internal.is_untyped(item.attrelid, item.attnum)
      from pg_catalog.pg_attribute item
     cross join lateral pgpipe_internal.column_type(item.atttypid, item.atttypmod) type
     where item.attrelid = target and item.attnum > 0 and not item.attisdropped
     order by item.attnum
$$;
comment on function pgpipe_internal.target_columns(regclass) is
    'The columns of a target in their order: type, by what the target fills them itself (search, '
    'generated, identity), which refuse NULL, which have a default, and which had no value yet.';

create or replace function pgpipe_internal.declared_type(
    declared text, out type_name text, out base text, out labels text[], out element oid,
    out reads text)
    stable strict  language sql
as $$
    -- The caller's search_path: a type is named as the user knows it. What stands in parentheses
    -- is kept, not read.
    select pg_catalog.regexp_replace(known.type_name, modifier.place, modifier.kept),
           pg_catalog.regexp_replace(known.base, modifier.place, modifier.kept), known.labels,
           known.element, pg_catalog.regexp_replace(known.reads, modifier.place, modifier.kept)
      from (select '( with(?:out)? time zone)?(\[\])?$' as place,
                   pg_catalog.concat(pg_catalog.substring(declared, '\([^)]*\)'), '\1\2') as kept
           ) modifier
     cross join pgpipe_internal.column_type(pg_catalog.to_regtype(
                    pg_catalog.regexp_replace(declared, ' *\([^)]*\)', '')), -1) known
     where known.type_name is not null
$$;
comment on function pgpipe_internal.declared_type(text) is
    'The type that a user wrote, as column_type; null where there is none.';

create or replace function pgpipe_internal.read_texts(texts json, type_name text)
    returns setof bytea  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    type regtype := to_regtype(type_name);
    send regproc := (select known.typsend from pg_catalog.pg_type known where known.oid = type);
    rounds boolean := type in ('interval'::regtype, 'timetz'::regtype);
begin
    if send is null then
        raise exception 'the type % does not exist', type_name using errcode = 'PP003';
    end if;
    -- A cast from text may be another user's code; populating a record calls the input function.
    -- It refuses what does not fit a modifier, but it rounds times.
    return query execute format(
        'select case when %s then %s(listed.value::%s) end '
        'from json_to_recordset($1) listed (value %s)',
        case when rounds then format('listed.value::%s = listed.value', type_name) else 'true' end,
        send, type_name, case when rounds then type::text else type_name end) using texts;
end
$$;
comment on function pgpipe_internal.read_texts(json, text) is
    'The values that texts are, [{"value": "…"}], read by the type''s own input function, in the '
    'form in which binary COPY takes them. Null if a type of times would round one. Raises what '
    'the input function raises.';
