-- Plain conditions: those that trigger functions compute, with the rights of the role of the queue.
-- A condition is text that the owner of a target declared. A plain one can name nothing but
-- columns, constants and what is PostgreSQL's own. So it runs no code of a user's, not even while
-- it is parsed. Whether a row of another condition belongs to an embedding is left to the worker.

create or replace function pgpipe_internal.condition_tokens(condition text)
    returns table (place bigint, token text)
    immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A constant, a quoted name, a word, a number, an operator, a bracket or comma, space; else any
    -- one character.
    select hit.place, hit.words[1]
      from regexp_matches(condition, concat(
               '(''(?:''''|[^''])*''|"(?:""|[^"])*"|[A-Za-z_][A-Za-z0-9_]*|[0-9]+(?:\.[0-9]+)?',
               '|::|[-+*/<>=~!@#%^&|?]+|[][(),]|\s+|.)'), 'g')
           with ordinality hit (words, place)
$$;
comment on function pgpipe_internal.condition_tokens(text) is
    'The parts that SQL text is made of, in their order.';

create or replace function pgpipe_internal.is_plain_function(name text)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of all functions by a name, because types decide which one is meant. A stable one may read
    -- tables, or types by their name.
    select coalesce(bool_and(routine.provolatile = 'i' and routine.prokind = 'f'
                             and not routine.proretset), false)
      from pg_catalog.pg_proc routine
     where routine.pronamespace = 'pg_catalog'::regnamespace
       and routine.proname = is_plain_function.name
$$;
comment on function pgpipe_internal.is_plain_function(text) is
    'Whether all functions of PostgreSQL by this name are immutable and return one value.';

create or replace function pgpipe_internal.is_keyword(word text)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_get_keywords() known
                    where known.word = is_keyword.word and known.catcode <> 'U')
$$;
comment on function pgpipe_internal.is_keyword(text) is
    'Whether a word names a column in quotes only.';

create or replace function pgpipe_internal.is_plain_token(
    target regclass, before text, token text, after text)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    keywords constant text[] := '{and,or,not,"null",true,false,any,all,array,case,when,then,else,
                                  end,distinct,from,is,coalesce,nullif,greatest,least}';
    types constant text[] := '{text,integer,bigint,smallint,numeric,boolean,real,double,precision,
                               date,uuid,character,varying,bpchar,timestamp,time,with,without,zone,
                               jsonb,json,interval,bytea}';
    -- After another word, a constant is one of the type by that name, which may be a user's.
    lead_constant constant text[] := '{and,or,not,when,then,else,case,from}';
    operators constant text := '^[-+*/<>=~!@#%^&|?]+$';
    is_quoted constant boolean := token like '"%';
    word constant text := case when is_quoted then replace(btrim(token, '"'), '""', '"')
                               else lower(token collate "C") end;
begin
    if token like '''%' then
        return before is null or before in ('(', '[', ',') or before ~ operators
            or lower(before collate "C") = any (lead_constant);
    elsif before = '::' then
        return not is_quoted and word = any (types);
    elsif not is_quoted and word = any (keywords || types) then
        return true;
    elsif token ~ '^[A-Za-z_"]' and after = '(' then
        return not is_quoted and pgpipe_internal.is_plain_function(word);
    elsif token ~ '^[A-Za-z_"]' then  -- select is a column only in quotes
        return (is_quoted or not pgpipe_internal.is_keyword(word))
           and pgpipe_internal.is_builtin(pgpipe_internal.column_type_of(target, word));
    end if;
    return token ~ '^[0-9]' or token in ('::', '(', ')', '[', ']', ',')
        or token ~ operators and token !~ '--|/\*';
end
$$;
comment on function pgpipe_internal.is_plain_token(regclass, text, text, text) is
    'Whether a part of a condition, between these others, is plain. That is a constant or a column '
    'of a type of PostgreSQL''s, a keyword that reads no table, an operator, or a function that is '
    'immutable.';

create or replace function pgpipe_internal.plain_columns(target regclass, condition text)
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with part as (
        select known.token, lag(known.token) over (order by known.place) as before,
               lead(known.token) over (order by known.place) as after
          from pgpipe_internal.condition_tokens(condition) known where known.token !~ '^\s+$'
    )
    select array(select item.attname from pg_catalog.pg_attribute item
                  where item.attrelid = target and item.attnum > 0 and not item.attisdropped
                    and pgpipe_internal.is_builtin(item.atttypid)
                    and exists (select from part
                                 where part.token in (item.attname, quote_ident(item.attname))
                                    or lower(part.token collate "C") = item.attname)
                  order by item.attnum)
     where strpos(condition, '\') = 0   -- the session decides what it means
       and condition !~ '[&][''"]'      -- after a U, which begins another kind of constant
       and (select bool_and(coalesce(pgpipe_internal.is_plain_token(
                       target, part.before, part.token, part.after), false))
              from part)
$$;
comment on function pgpipe_internal.plain_columns(regclass, text) is
    'The columns that a plain condition reads; null for a condition that is not plain.';

create or replace function pgpipe_internal.condition_columns(target regclass, condition text)
    returns name[]  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select item.attname from pg_catalog.pg_attribute item
                  where item.attrelid = target and item.attnum > 0 and not item.attisdropped
                    and exists (
                        select from pgpipe_internal.condition_tokens(condition) part
                         where part.token = concat('"', replace(item.attname, '"', '""'), '"')
                            or lower(part.token collate "C") = item.attname
                               and not pgpipe_internal.is_keyword(item.attname))
                  order by item.attnum)
$$;
comment on function pgpipe_internal.condition_columns(regclass, text) is
    'The columns that a condition names. A function of the same name makes it one too many.';

create or replace function pgpipe_internal.require_computable(e pgpipe.embedding)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    lost name := pgpipe_internal.lost_column(e);
    foreign_type record;
begin
    if lost is not null then  -- `row.name` would call the function of that name
        raise exception '% has no column %, which %its embedding % needs', e.target,
            quote_ident(lost),
            case when lost = any (e.key_columns || e.columns) then ''
                 else format('the condition %L of ', e.condition) end,
            quote_ident(e.name) using errcode = 'PP002',
            hint = 'Rename the column back, or declare the embedding again.';
    end if;
    select used.name, pgpipe_internal.column_type_of(e.target, used.name)::regtype as type
      into foreign_type
      from unnest(pgpipe_internal.condition_columns(e.target, e.condition)) used (name)
     where not pgpipe_internal.is_trusted_type(
                   pgpipe_internal.column_type_of(e.target, used.name)) limit 1;
    if found then
        raise exception 'the condition of the embedding % of % reads %, which has the type %',
            quote_ident(e.name), e.target, quote_ident(foreign_type.name), foreign_type.type
            using errcode = 'PP003',
            hint = 'The owner of that type could run code by it. Give the column a type of '
                   'PostgreSQL or of an extension, or declare the embedding again.';
    end if;
end
$$;
comment on function pgpipe_internal.require_computable(pgpipe.embedding) is
    'Raises PP002 if a column of an embedding is gone. Raises PP003 if its condition reads a '
    'column whose type a user made. Then its texts would run code of that user''s.';
