-- Templates and conditions: how a row becomes the text that a model reads, and how a change of it
-- is found.

create or replace function pgpipe_internal.brace(name text)
    returns text
    immutable strict parallel safe  set search_path = pg_catalog, pg_temp
    language sql
as $$ select '{' || replace(replace(name, '{', '{{'), '}', '}}') || '}' $$;
comment on function pgpipe_internal.brace(text) is
    'A column as a template writes it: in braces, its own braces doubled.';

create or replace function pgpipe_internal.refuse_brace(rest text, columns name[])
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    named text := substring(rest from '^\{([^{}]*)\}');
begin
    if named is not null then
        raise exception 'the template names {%}, which is not among the columns %',
            named, columns using errcode = 'PP003';
    end if;
    raise exception 'the template has a single % that ends or begins no column',
        quote_literal(left(rest, 1)) using errcode = 'PP003',
        hint = 'Write {column}; for the character itself write {{ or }}.';
end
$$;
comment on function pgpipe_internal.refuse_brace(text, name[]) is
    'Raises PP003 for the brace that the rest of a template begins with.';

create or replace function pgpipe_internal.template_pieces(columns name[], template text)
    returns table (line int, field name, literal text)
    immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    place int := 1;
    rest text;
begin
    line := 1;
    while place <= length(template) loop
        rest := substr(template, place);
        field := null;
        literal := null;
        -- A known column first, the longest where several fit: a column may be called {a}.
        select known into field from unnest(columns) known
         where starts_with(rest, pgpipe_internal.brace(known)) order by length(known) desc limit 1;
        if field is not null then
            place := place + length(pgpipe_internal.brace(field));
        elsif left(rest, 2) in ('{{', '}}') then
            literal := left(rest, 1);
            place := place + 2;
        elsif left(rest, 1) = E'\n' then
            line := line + 1;
            place := place + 1;
            continue;
        elsif left(rest, 1) in ('{', '}') then
            perform pgpipe_internal.refuse_brace(rest, columns);
        else
            literal := substring(rest from '^[^{}\n]+');
            place := place + length(literal);
        end if;
        return next;
    end loop;
end
$$;
comment on function pgpipe_internal.template_pieces(name[], text) is
    'The columns and the text between them of a template, with the line each stands on. {{ and }} '
    'are braces. Raises PP003 for a column that is not among `columns`, and for a single brace.';

create or replace function pgpipe_internal.condition_on(condition text, alias text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Its own scope: in there, bare column names can only be the row's.
    select case when condition is null then 'true'
                else format(E'exists (select from (select %s.*) t where (%s\n))',
                            alias, condition) end
$$;
comment on function pgpipe_internal.condition_on(text, text) is
    'SQL text: the condition of an embedding holds for the row `alias`.';

create or replace function pgpipe_internal.input_expression(
    columns name[], template text, condition text default null, alias text default 't')
    returns text  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    all_used name[] := array(
        select piece.field from pgpipe_internal.template_pieces(columns, template) piece
         where piece.field is not null);
    lines text;
begin
    if all_used = '{}' then
        raise exception 'the template names no column' using errcode = 'PP003',
            hint = 'Write {column} where its text belongs.';
    end if;
    with piece as (
        select found.line, found.field, row_number() over () as place,
               coalesce(alias || '.' || quote_ident(found.field),
                        quote_literal(found.literal)) as sql
          from pgpipe_internal.template_pieces(columns, template) found
    ), written as (
        select line.number, string_agg(piece.sql, ', ' order by piece.place) as sql,
               array_agg(piece.field order by piece.place)
                   filter (where piece.field is not null) as used
          from generate_series(1, (select max(piece.line) from piece)) line (number)
          left join piece on piece.line = line.number group by line.number
    )
    select string_agg(case when written.sql is null then quote_literal('')
                           when written.used is null then format('concat(%s)', written.sql)
                           else format('case when concat(%s) <> '''' then concat(%s) end',
                                       pgpipe_internal.column_list(written.used, alias),
                                       written.sql) end,
                      ', ' order by written.number) into lines
      from written;
    return format('case when %s and btrim(concat(%s), E'' \t\n\r'') <> '''' '
                  'then btrim(concat_ws(E''\n'', %s), E'' \t\n\r'') end',
                  pgpipe_internal.condition_on(condition, alias),
                  pgpipe_internal.column_list(all_used, alias), lines);
end
$$;
comment on function pgpipe_internal.input_expression(name[], text, text, text) is
    'SQL text: what the model reads of the row `alias`. A template line whose columns are all '
    'empty is left out. Null where every column is empty, or where the condition does not hold. '
    'Raises PP003 for a template that names another column, or none.';

create or replace function pgpipe_internal.require_kept(target regclass, columns name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    computed name;
begin
    select item.attname into computed from pg_catalog.pg_attribute item
     where item.attrelid = target and item.attname = any (columns) and item.attgenerated = 'v'
     order by item.attnum limit 1;
    if found then
        raise exception '% is a virtual generated column of %: a trigger does not see its values',
            quote_ident(computed), target using errcode = 'PP003',
            hint = 'Name the columns that it is computed from, or generate it STORED.';
    end if;
end
$$;
comment on function pgpipe_internal.require_kept(regclass, name[]) is
    'Raises PP003 for a virtual generated column: PostgreSQL computes it when a row is read, and '
    'shows triggers NULL instead.';

create or replace function pgpipe_internal.foreign_part(check_id oid)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with rule as (
        select * from pg_catalog.pg_constraint known where known.oid = check_id
    ), found (place, part) as (
        select 1, format('there is %s',
                         pg_catalog.pg_describe_object(link.refclassid, link.refobjid, 0))
          from pg_catalog.pg_depend link
         where link.classid = 'pg_constraint'::regclass and link.objid = check_id
           and link.refobjid >= 16384
           and link.refclassid::regclass::text in ('pg_proc', 'pg_operator', 'pg_type')
           and not exists (
               select from pg_catalog.pg_depend member
                where member.classid = link.refclassid and member.objid = link.refobjid
                  and member.deptype = 'e')
        union all  -- its owner may make casts of it at any time
        select 2, format('there is %s of type %s', quote_ident(item.attname),
                         pg_catalog.format_type(item.atttypid, -1))
          from rule join pg_catalog.pg_attribute item
            on item.attrelid = rule.conrelid and item.attnum = any (rule.conkey)
         where not pgpipe_internal.is_trusted_type(item.atttypid)
        union all  -- no catalogue says which of PostgreSQL's own functions it calls; its tree does
        select 3, format('there is %s, which is volatile, or reads tables or types by their names,',
                         routine.proname)
          from rule
         cross join lateral regexp_matches(rule.conbin::text, ':(?:funcid|opfuncid) (\d+)', 'g')
                            called (words)
          join pg_catalog.pg_proc routine on routine.oid = called.words[1]::oid
         where routine.provolatile = 'v'
            or routine.proname ~ '(_to_xml(schema|_and_xmlschema)?|^pg_input_.*)$'
            or '{cstring,internal}'::regtype[]::oid[]
               && (routine.proargtypes::oid[] || routine.prorettype)
    )
    select found.part from found order by found.place limit 1
$$;
comment on function pgpipe_internal.foreign_part(oid) is
    'What a condition, made as a CHECK, has in it that it may not have. That is a volatile '
    'function, or something that is neither PostgreSQL''s nor an extension''s. Null for nothing.';

create or replace function pgpipe_internal.is_one_expression(condition text)
    returns boolean  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A semicolon may only stand within quotes, which nothing else can end.
    select strpos(condition, ';') = 0
        or strpos(condition, '\') = 0
           and regexp_replace(condition, '''(''''|[^''])*''|"(""|[^"])*"', '', 'g') !~ '[;$]|--|/\*'
$$;
comment on function pgpipe_internal.is_one_expression(text) is
    'Whether the text cannot end an expression and begin another statement.';

create or replace function pgpipe_internal.checked_condition(target regclass, condition text)
    returns text  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    reason text;
    advice text;
    checked record;
begin
    if not pgpipe_internal.is_one_expression(condition) then
        raise exception 'it is more than one expression';
    end if;
    -- As a check constraint, which refuses subqueries and aggregates. Not validated: to plan the
    -- condition would compute its constants.
    execute format('create temporary table pgpipe_condition (like %s) on commit drop', target);
    execute format(E'alter table pg_temp.pgpipe_condition add constraint c check (%s\n) not valid',
                   condition);
    select pg_catalog.pg_get_expr(rule.conbin, rule.conrelid) as text,
           pgpipe_internal.foreign_part(rule.oid) as foreign_part,
           array(select item.attname from pg_catalog.pg_attribute item
                  where item.attrelid = rule.conrelid and item.attnum = any (rule.conkey)) as used
      into checked from pg_catalog.pg_constraint rule
     where rule.conrelid = 'pg_temp.pgpipe_condition'::regclass and rule.conname = 'c';
    if checked.foreign_part is not null then
        raise exception '% in it, which runs for everybody who writes or embeds a row',
            checked.foreign_part;
    end if;
    drop table pg_temp.pgpipe_condition;
    perform pgpipe_internal.require_kept(target, checked.used);
    return checked.text;
-- What can be wrong with a condition; a deadlock, a full disk or a lock timeout goes on as it is.
exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported
    or program_limit_exceeded or invalid_schema_name or raise_exception or sqlstate 'PP003' then
    get stacked diagnostics reason = message_text, advice = pg_exception_hint;
    raise exception 'the condition % cannot be used: %', quote_literal(condition), reason
        using errcode = 'PP003', hint = case when sqlstate = 'PP003' then advice
        else 'Write what could stand in a check constraint of the table: of functions, operators '
             'and types of PostgreSQL or of an extension, none of them volatile.' end;
end
$$;
comment on function pgpipe_internal.checked_condition(regclass, text) is
    'The condition as PostgreSQL reads it, every name in full. Raises PP003 if it is not a '
    'condition on one row of the target.';

create or replace function pgpipe_internal.content_hash(content text)
    returns bytea  immutable strict parallel safe  language sql
as $$ select pg_catalog.sha256(pg_catalog.convert_to(content, 'UTF8')) $$;
comment on function pgpipe_internal.content_hash(text) is
    'The hash that says whether a stored vector is of this text (32 bytes).';
