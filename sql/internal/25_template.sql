-- Templates and conditions: how a row becomes the text that a model reads, and how a change of it is found.

create or replace function pgpipe_internal.brace(name text)
    returns text  immutable strict parallel safe  set search_path = pg_catalog, pg_temp  language sql
as $$ select '{' || replace(replace(name, '{', '{{'), '}', '}}') || '}' $$;
comment on function pgpipe_internal.brace(text) is 'A column as a template writes it: in braces, its own braces doubled.';

create or replace function pgpipe_internal.template_pieces(columns name[], template text)
    returns table (line int, field name, literal text)  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    place int := 1;
    rest text;
    part text;
begin
    line := 1;
    while place <= length(template) loop
        rest := substr(template, place);
        field := null;
        literal := null;
        -- A known column first, the longest where several fit: a column may be called {a}.
        select c into field from unnest(columns) c where starts_with(rest, pgpipe_internal.brace(c)) order by length(c) desc limit 1;
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
            part := substring(rest from '^\{([^{}]*)\}');
            if part is not null then
                raise exception 'the template names {%}, which is not among the columns %', part, columns using errcode = 'PP003';
            end if;
            raise exception 'the template has a single % that ends or begins no column', quote_literal(left(rest, 1))
                using errcode = 'PP003', hint = 'Write {column}; for the character itself write {{ or }}.';
        else
            literal := substring(rest from '^[^{}\n]+');
            place := place + length(literal);
        end if;
        return next;
    end loop;
end
$$;
comment on function pgpipe_internal.template_pieces(name[], text) is
    'The columns and the text between them of a template, with the line each stands on. {{ and }} are braces. '
    'Raises PP003 for a column that is not among `columns`, and for a single brace.';

create or replace function pgpipe_internal.condition_on(condition text, alias text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Its own scope: in there, bare column names can only be the row's.
    select case when condition is null then 'true'
                else format(E'exists (select from (select %s.*) t where (%s\n))', alias, condition) end
$$;
comment on function pgpipe_internal.condition_on(text, text) is 'SQL text: the condition of an embedding holds for the row `alias`.';

create or replace function pgpipe_internal.input_expression(columns name[], template text, condition text default null)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    all_used name[] := array(select p.field from pgpipe_internal.template_pieces(columns, template) p where p.field is not null);
    lines text;
begin
    if all_used = '{}' then
        raise exception 'the template names no column' using errcode = 'PP003', hint = 'Write {column} where its text belongs.';
    end if;
    with piece as (
        select p.line, p.field, row_number() over () as n, coalesce('t.' || quote_ident(p.field), quote_literal(p.literal)) as sql
          from pgpipe_internal.template_pieces(columns, template) p
    ), written as (
        select l.line, string_agg(p.sql, ', ' order by p.n) as sql,
               array_agg(p.field order by p.n) filter (where p.field is not null) as used
          from generate_series(1, (select max(line) from piece)) l (line) left join piece p using (line) group by l.line
    )
    select string_agg(case when w.sql is null then quote_literal('') when w.used is null then format('concat(%s)', w.sql)
                           else format('case when concat(%s) <> '''' then concat(%s) end', pgpipe_internal.column_list(w.used, 't'), w.sql) end,
                      ', ' order by w.line) into lines
      from written w;
    return format('case when %s and btrim(concat(%s), E'' \t\n\r'') <> '''' then btrim(concat_ws(E''\n'', %s), E'' \t\n\r'') end',
                  pgpipe_internal.condition_on(condition, 't'), pgpipe_internal.column_list(all_used, 't'), lines);
end
$$;
comment on function pgpipe_internal.input_expression(name[], text, text) is
    'SQL text: what the model reads of row `t`. A template line whose columns are all empty is left out. Null where every column is '
    'empty, or where the condition does not hold. Raises PP003 for a template that names another column, or none.';

create or replace function pgpipe_internal.require_kept(target regclass, columns name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    computed name;
begin
    select a.attname into computed from pg_catalog.pg_attribute a
     where a.attrelid = target and a.attname = any (columns) and a.attgenerated = 'v' order by a.attnum limit 1;
    if found then
        raise exception '% is a virtual generated column of %: a trigger does not see its values', quote_ident(computed), target
            using errcode = 'PP003',
            hint = 'Name the columns that it is computed from, or generate it STORED.';
    end if;
end
$$;
comment on function pgpipe_internal.require_kept(regclass, name[]) is
    'Raises PP003 for a virtual generated column: PostgreSQL computes it when a row is read, and shows triggers NULL instead.';

create or replace function pgpipe_internal.foreign_part(check_id oid)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select p.part from (
        select 1, format('there is %s', pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0))
          from pg_catalog.pg_depend d
         where d.classid = 'pg_catalog.pg_constraint'::regclass and d.objid = check_id and d.refobjid >= 16384
           and d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass)
           and not exists (select from pg_catalog.pg_depend x
                            where x.classid = d.refclassid and x.objid = d.refobjid and x.deptype = 'e')
        union all  -- its owner may make casts of it at any time
        select 2, format('there is %s of type %s', quote_ident(a.attname), pg_catalog.format_type(a.atttypid, -1))
          from pg_catalog.pg_constraint c
          join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
         where c.oid = check_id and not pgpipe_internal.is_trusted_type(a.atttypid)
        union all  -- no catalogue says which functions of PostgreSQL's own an expression calls; its text does
        select 3, format('there is %s, which is volatile or reads tables,', called.name)
          from pg_catalog.pg_constraint c
         cross join lateral regexp_matches(regexp_replace(pg_catalog.pg_get_expr(c.conbin, c.conrelid), '''(''''|[^''])*''', '', 'g'),
                                           '(\w+)"?\(', 'g') m
         cross join lateral (select m[1] as name) called
         where c.oid = check_id
           and (called.name ~ '_to_xml(schema|_and_xmlschema)?$'
                or exists (select from pg_catalog.pg_proc f where f.proname = called.name and f.provolatile = 'v'))
    ) p (n, part) order by p.n limit 1
$$;
comment on function pgpipe_internal.foreign_part(oid) is
    'What a condition, made as a CHECK, has in it that it may not have. That is a volatile '
    'function, or something that is neither PostgreSQL''s nor an extension''s. Null for nothing.';

create or replace function pgpipe_internal.checked_condition(target regclass, condition text)
    returns text  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    reason text;
    advice text;
    checked text;
    used name[];
    foreign_part text;
begin
    -- One statement and no more: a semicolon may only stand within quotes, where nothing else can end them.
    if strpos(condition, ';') > 0
       and (strpos(condition, '\') > 0
            or regexp_replace(condition, '''(''''|[^''])*''|"(""|[^"])*"', '', 'g') ~ '[;$]|--|/\*') then
        raise exception 'it is more than one expression';
    end if;
    -- As a check constraint, which refuses subqueries and aggregates. Not validated: to plan the condition would compute its constants.
    execute format('create temporary table pgpipe_condition (like %s) on commit drop', target);
    execute format(E'alter table pg_temp.pgpipe_condition add constraint c check (%s\n) not valid', condition);
    select pg_catalog.pg_get_expr(c.conbin, c.conrelid), pgpipe_internal.foreign_part(c.oid),
           array(select a.attname from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attnum = any (c.conkey))
      into checked, foreign_part, used from pg_catalog.pg_constraint c
     where c.conrelid = 'pg_temp.pgpipe_condition'::regclass and c.conname = 'c';
    if foreign_part is not null then
        raise exception '% in it, which runs for everybody who writes or embeds a row', foreign_part;
    end if;
    drop table pg_temp.pgpipe_condition;
    perform pgpipe_internal.require_kept(target, used);
    return checked;
-- What can be wrong with a condition; a deadlock, a full disk or a lock timeout goes on as it is.
exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported
    or program_limit_exceeded or invalid_schema_name or raise_exception or sqlstate 'PP003' then
    get stacked diagnostics reason = message_text, advice = pg_exception_hint;
    raise exception 'the condition % cannot be used: %', quote_literal(condition), reason using errcode = 'PP003',
        hint = case when sqlstate = 'PP003' then advice
                    else 'Write what could stand in a check constraint of the table: of functions, operators and types of '
                         'PostgreSQL or of an extension, none of them volatile.' end;
end
$$;
comment on function pgpipe_internal.checked_condition(regclass, text) is
    'The condition as PostgreSQL reads it, every name in full. Raises PP003 if it is not a condition on one row of the target.';

create or replace function pgpipe_internal.content_hash(content text)
    returns bytea  immutable strict parallel safe  language sql
as $$ select pg_catalog.sha256(pg_catalog.convert_to(content, 'UTF8')) $$;
comment on function pgpipe_internal.content_hash(text) is 'The hash that says whether a stored vector is of this text (32 bytes).';
