-- Unique values that move between the rows of one date, such as positions that shift by one. One
-- UPDATE cannot write them: it meets the value in the row that has it still. So the rows first
-- give their values up for neutral ones, which nobody has, and then get their own.

create or replace function pgpipe_internal.unique_rules(target regclass, written name[])
    returns table (columns name[])
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Partitions and child tables may have indexes of their own. What is deferrable is checked
    -- after the statement anyway.
    with recursive part (oid) as (
        select unique_rules.target::oid
        union
        select child.inhrelid from part join pg_catalog.pg_inherits child
            on child.inhparent = part.oid
    )
    select distinct rule.columns
      from part
      join pg_catalog.pg_index index on index.indrelid = part.oid and index.indimmediate
       and (index.indisunique or index.indisexclusion)
     cross join lateral (
           select array(
               select item.attname from pg_catalog.pg_attribute item
                where item.attrelid = index.indrelid and item.attname = any (written)
                  and item.attnum > 0
                  and (item.attnum = any (index.indkey::int2[])
                       or exists (select from pg_catalog.pg_depend link  -- expression, predicate
                                   where link.classid = 'pg_catalog.pg_class'::regclass
                                     and link.objid = index.indexrelid
                                     and link.refclassid = 'pg_catalog.pg_class'::regclass
                                     and link.refobjid = index.indrelid
                                     and link.refobjsubid = item.attnum))
                order by item.attname)) rule (columns)
     where rule.columns <> '{}'
     order by rule.columns
$$;
comment on function pgpipe_internal.unique_rules(regclass, name[]) is
    'The written columns of each unique index and exclusion constraint that is checked row by row.';

create or replace function pgpipe_internal.may_be_neutral(
    target regclass, column_name name, is_null boolean)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A foreign key that leads to the column would follow it to NULL, and not come back. One that
    -- leads from it finds no row for a neutral value. A partition's bounds refuse both.
    select not (is_null and (item.attnotnull or known.typnotnull))
           and not exists (
               select from pg_catalog.pg_constraint link
                where link.contype = 'f' and case when is_null
                      then link.confrelid = item.attrelid and item.attnum = any (link.confkey)
                      else link.conrelid = item.attrelid and item.attnum = any (link.conkey) end)
           and not exists (select from pg_catalog.pg_partitioned_table split
                            where split.partrelid = item.attrelid
                              and item.attnum = any (split.partattrs::int2[]))
      from pg_catalog.pg_attribute item
      join pg_catalog.pg_type known on known.oid = item.atttypid
     where item.attrelid = target and item.attname = column_name
$$;
comment on function pgpipe_internal.may_be_neutral(regclass, name, boolean) is
    'Whether a column may be NULL for a moment, or else have a value that no other row has.';

create or replace function pgpipe_internal.number_beyond(
    target regclass, stage regclass, column_name name, is_low boolean)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('(select %s(pg_catalog.%s(held.%I), (select pg_catalog.%2$s(staged.%3$I) '
                  'from %s staged)) from %s held)',
                  case when is_low then 'least' else 'greatest' end,
                  case when is_low then 'min' else 'max' end, column_name, stage, target)
$$;
comment on function pgpipe_internal.number_beyond(regclass, regclass, name, boolean) is
    'SQL text: the least or the greatest value that a column has in the target and in the stage.';

create or replace function pgpipe_internal.distinct_value(
    target regclass, stage regclass, column_name name, is_low boolean)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case
           when base.type = any ('{int2,int4,int8,numeric,float4,float8}'::regtype[])
           then format('%s %s moving.number', beyond.value, sign.operator)
           when base.type = 'date'::regtype
           then format('%s %s moving.number::pg_catalog.int4', beyond.value, sign.operator)
           when base.type = any ('{timestamp,timestamptz}'::regtype[])
           then format('%s %s pg_catalog.make_interval(secs => moving.number)', beyond.value,
                       sign.operator)
           when base.type = 'uuid'::regtype then 'pg_catalog.gen_random_uuid()'
           when known.typtype = 'r' then format('%L', 'empty')
           when known.typtype = 'm' then format('%L', '{}')
           when known.typcategory = 'S' and is_low  -- a CHECK on how it begins still holds
           then format('pg_catalog.concat(target.%I, %L, moving.number)', column_name,
                       '~' || substr(md5(gen_random_uuid()::text), 1, 8) || '~')
           when known.typcategory = 'S'  -- for private use, and short: 1 character for 6,400 rows
           then 'pg_catalog.concat(case when moving.number operator(pg_catalog.>) 6400 then '
                'pg_catalog.chr(57344 operator(pg_catalog.+) (moving.number '
                'operator(pg_catalog./) 6400)::pg_catalog.int4) end, '
                'pg_catalog.chr(57344 operator(pg_catalog.+) (moving.number '
                'operator(pg_catalog.%) 6400)::pg_catalog.int4))' end
      from (select pgpipe_internal.base_type(pgpipe_internal.column_type_of(
                       target, column_name)) as type) base
      join pg_catalog.pg_type known on known.oid = base.type
     cross join lateral (select pgpipe_internal.number_beyond(
               target, stage, column_name, is_low) as value) beyond
     cross join lateral (select case when is_low then 'operator(pg_catalog.-)'
                                     else 'operator(pg_catalog.+)' end as operator) sign
$$;
comment on function pgpipe_internal.distinct_value(regclass, regclass, name, boolean) is
    'SQL text: a value that no other row has, by the number of a row; null if the type has none. '
    'Of numbers and times below all others or above, of a text longer than its own or short.';

create or replace function pgpipe_internal.neutral_values(
    target regclass, stage regclass, written name[], way text,
    out columns name[], out texts text[])
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    rule name[];
    found record;
begin
    columns := '{}';
    texts := '{}';
    for rule in
        select listed.columns from pgpipe_internal.unique_rules(target, written) listed
    loop
        continue when rule && columns;  -- one column that differs makes all of them differ
        select candidate.name, neutral.value into found
          from unnest(rule) candidate (name)
         cross join lateral (
               select 'null' as value, way = 'null' as is_wanted
                where pgpipe_internal.may_be_neutral(target, candidate.name, true)
               union all
               select pgpipe_internal.distinct_value(target, stage, candidate.name, way <> 'high'),
                      way <> 'null'
                where pgpipe_internal.may_be_neutral(target, candidate.name, false)) neutral
         where neutral.value is not null
         order by neutral.is_wanted desc, candidate.name limit 1;
        if found.name is not null then
            columns := columns || found.name;
            texts := texts || found.value;
        end if;
    end loop;
end
$$;
comment on function pgpipe_internal.neutral_values(regclass, regclass, name[], text) is
    'Columns, one of each unique rule if one may, and the SQL text of their neutral values. `way` '
    'is what is preferred: null, low or high.';

create or replace function pgpipe_internal.vacate(
    target regclass, stage regclass, difference regclass, written name[], key name[], path text,
    way text, changes text[])
    returns boolean  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    neutral record;
    moved name[] := array(select distinct unnest(listed.columns)
                            from pgpipe_internal.unique_rules(target, written) listed);
begin
    neutral := pgpipe_internal.neutral_values(target, stage, written, way);
    if neutral.columns = '{}' then
        return false;
    end if;
    perform pgpipe_internal.execute_in(path, pgpipe_internal.render(
        'merge_vacate', jsonb_build_object(
            'target', target, 'stage', stage, 'difference', difference,
            'columns', pgpipe_internal.column_list(neutral.columns),
            'values', array_to_string(neutral.texts, ', '),
            'changes', quote_literal(changes),
            'staged_key', pgpipe_internal.same_numbered(target, key, 'moving', 'staged'),
            'same_key', pgpipe_internal.same_numbered(target, key, 'moving', 'target'),
            'differ', pgpipe_internal.differ(target, moved, 'target', 'staged'))));
    return true;
exception when integrity_constraint_violation or data_exception or program_limit_exceeded
          or raise_exception or with_check_option_violation then
    return false;
end
$$;
comment on function pgpipe_internal.vacate(
    regclass, regclass, regclass, name[], name[], text, text, text[]) is
    'Gives rows whose unique values change, and rows that will be deleted, neutral ones. False if '
    'a rule of the target refuses these, or if there are none.';

create or replace function pgpipe_internal.execute_all(path text, statements text[])
    returns bigint[]  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select pgpipe_internal.execute_in(path, listed.statement)
                   from unnest(statements) with ordinality listed (statement, place)
                  order by listed.place)
$$;
comment on function pgpipe_internal.execute_all(text, text[]) is
    'Executes statements in their order, see execute_in. Returns how many rows each wrote.';

create or replace function pgpipe_internal.write_moving(
    target regclass, stage regclass, difference regclass, written name[], key name[], path text,
    statements text[], changes text[])
    returns bigint[]  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    way text;
    message text;
    detail text;
    rule name;
begin
    begin
        return pgpipe_internal.execute_all(path, statements);
    exception when unique_violation or exclusion_violation then
        get stacked diagnostics message = message_text, detail = pg_exception_detail,
                                rule = constraint_name;
        perform pgpipe_internal.check_key(stage, key),  -- two rows of one key
                case changes when '{}' then
                    pgpipe_internal.refuse_double(target, sqlstate, message, detail, rule) end;
    end;
    foreach way in array array['null', 'low', 'high'] loop
        if pgpipe_internal.vacate(target, stage, difference, written, key, path, way, changes) then
            begin
                return pgpipe_internal.execute_all(path, statements);
            exception when unique_violation or exclusion_violation then
                get stacked diagnostics message = message_text, detail = pg_exception_detail,
                                        rule = constraint_name;
                perform pgpipe_internal.refuse_double(target, sqlstate, message, detail, rule);
            end;
        end if;
    end loop;
    perform pgpipe_internal.refuse_moving(target, detail, rule);
end
$$;
comment on function pgpipe_internal.write_moving(
    regclass, regclass, regclass, name[], name[], text, text[], text[]) is
    'Executes statements that write rows, and returns how many each wrote. If a value meets the '
    'row that has it still, rows with one of `changes` (update, delete) are given neutral values, '
    'and the statements are executed again. Raises 23505 or 23P01 if the date itself is not '
    'unique, PP010 if no neutral value can be had.';

create or replace function pgpipe_internal.refuse_double(
    target regclass, state text, message text, detail text, rule name)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    raise exception '%', concat_ws(': ', message, nullif(left(detail, 200), ''))
        using errcode = state, detail = detail, constraint = rule, table = target::text,
        hint = concat('Two rows would have this value: two of the files, or one of them and one '
                      'that the target keeps. Give one of them another value.',
                      pgpipe_internal.live_unique(target, rule));
end
$$;
comment on function pgpipe_internal.refuse_double(regclass, text, text, text, name) is
    'Raises the error of a unique rule again, with the values that are there twice.';

create or replace function pgpipe_internal.refuse_moving(target regclass, detail text, rule name)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    hint text := 'Make it a deferrable constraint, or load these rows in two dates.';
begin
    if exists (select from pg_catalog.pg_constraint known where known.conname = rule) then
        hint := format('Make it deferrable: alter table %s drop constraint %I, '
                       'add constraint %2$I … deferrable', target, rule);
    end if;
    raise exception 'values that % keeps unique in % move between rows, and no other value can '
                    'hold their place meanwhile: %', rule, target, left(detail, 200)
        using errcode = 'PP010', hint = hint;
end
$$;
comment on function pgpipe_internal.refuse_moving(regclass, text, name) is
    'Raises PP010 for unique values that cannot be moved, with the rule and an example.';
