-- Checks of a declared search: what it needs of the table, and what it must not change.

create or replace function pgpipe_internal.require_plain(target regclass, columns name[])
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    computed name;
begin
    select col.attname into computed from pg_catalog.pg_attribute col
     where col.attrelid = target and col.attname = any (columns) and col.attgenerated <> ''
     order by col.attnum limit 1;
    if found then
        raise exception '% is a generated column of %: PostgreSQL computes no search column from '
                        'another generated column', quote_ident(computed), target
            using errcode = 'PP003', hint = 'Name the columns that it is computed from.';
    end if;
end
$$;
comment on function pgpipe_internal.require_plain(regclass, name[]) is
    'Raises PP003 for a generated column: another one cannot be computed from it, and a BEFORE '
    'trigger finds NULL in it.';

create or replace function pgpipe_internal.require_lasting(target regclass, columns name[])
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    other record;
begin
    select col.attname, pg_catalog.format_type(col.atttypid, -1) as type into other
      from pg_catalog.pg_attribute col
      join pg_catalog.pg_type kind on kind.oid = pgpipe_internal.base_type(col.atttypid)
      join pg_catalog.pg_proc output on output.oid = kind.typoutput
     where col.attrelid = target and col.attname = any (columns) and output.provolatile <> 'i'
       and not pgpipe_internal.is_text_array(col.atttypid)
     order by col.attnum limit 1;
    if found then
        raise exception '% of % is of type %, whose text depends on settings: PostgreSQL generates '
                        'no search column from it', quote_ident(other.attname), target, other.type
            using errcode = 'PP003',
            hint = 'Declare it with online => true: then a trigger computes the search column.';
    end if;
end
$$;
comment on function pgpipe_internal.require_lasting(regclass, name[]) is
    'Raises PP003 for a column of a type whose text is not immutable, as that of dates.';

create or replace function pgpipe_internal.check_search(wanted pgpipe.search_fill)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    columns constant name[] := array(select jsonb_object_keys(wanted.weights));
begin
    if num_nulls(wanted.target, wanted.weights, wanted.language, wanted.column_name) > 0 then
        raise exception 'a search needs a table, columns, a language and a name for its column; '
                        'one of them is NULL' using errcode = 'PP003';
    elsif (select class.relkind from pg_catalog.pg_class class where class.oid = wanted.target)
          not in ('r', 'p') then
        raise exception '% is not a table', wanted.target using errcode = 'PP003',
            hint = 'Only a table can have a search column: declare it on the one that the rows are '
                   'in.';
    end if;
    perform pgpipe_internal.require_columns(wanted.target, columns);
    if wanted.language_column is not null then
        perform pgpipe_internal.require_columns(wanted.target, array[wanted.language_column]);
    end if;
    perform pgpipe_internal.require_plain(wanted.target, wanted.language_column || columns);
    perform pgpipe_internal.search_expression(  -- refuses a language column that cannot name one
        wanted.target, wanted.weights,
        pgpipe_internal.declared_language(wanted.target, wanted.language), wanted.language_column,
        null, wanted.version);
    if pgpipe_internal.has_column(wanted.target, wanted.column_name) then
        raise exception '% has a column % already', wanted.target, quote_ident(wanted.column_name)
            using errcode = 'PP004',
            hint = 'Give the search column another name: column_name => ''search_text''.';
    end if;
end
$$;
comment on function pgpipe_internal.check_search(pgpipe.search_fill) is
    'Raises PP002, PP003 or PP004 if a search cannot be declared like this.';

create or replace function pgpipe_internal.refuse_other_search(wanted pgpipe.search_fill)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    other record;
begin
    select known.* into other
      from (select weights, language, column_name, language_column, true as serves, target
              from pgpipe.search
            union all
            select weights, language, column_name, language_column, false, target
              from pgpipe.search_fill) known
     where known.target = wanted.target order by known.serves desc limit 1;
    if not found or (other.weights, other.language, other.column_name, other.language_column)
       is not distinct from
       (wanted.weights, wanted.language, wanted.column_name, wanted.language_column) then
        return;
    elsif other.serves then
        raise exception '% is already searched by % in %',
            wanted.target, other.weights, other.language using errcode = 'PP004',
            hint = format('To change it, call pgpipe.alter_search(%L, …): searches go on '
                          'meanwhile.', wanted.target);
    end if;
    raise exception '% is being filled for a search by % in %',
        wanted.target, other.weights, other.language using errcode = 'PP004',
        hint = format('Finish it with `pgpipe fill-search`, or drop it: '
                      'select pgpipe.disable_search(%L)', wanted.target);
end
$$;
comment on function pgpipe_internal.refuse_other_search(pgpipe.search_fill) is
    'Raises PP004 if another search of the target serves or, before the first serves, is filled.';
