-- The trigger that keeps a search column which PostgreSQL does not generate.

create or replace function pgpipe_internal.search_keeper(
    target regclass, column_name name, out trigger name, out function regproc)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select keeper.tgname, keeper.tgfoid::regproc
      from pg_catalog.pg_trigger keeper
      join pg_catalog.pg_proc routine on routine.oid = keeper.tgfoid
       and right(routine.proname, -10 + length(keeper.tgname)) = substr(keeper.tgname, 11)
     where keeper.tgrelid = target and keeper.tgname ~ '^zzz_pgpipe_search_'
       and keeper.tgargs = convert_to(column_name::text, getdatabaseencoding()) || '\x00'
$$;
comment on function pgpipe_internal.search_keeper(regclass, name) is
    'The trigger that keeps a search column, and its function; null if PostgreSQL generates it. '
    'The trigger''s argument names the column: that outlives a dump, which numbers do not.';

create or replace function pgpipe_internal.keeper_function(wanted pgpipe.search_fill, name text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The body is a literal: between dollar quotes, a column with such quotes in its name would
    -- end it.
    select pgpipe_internal.fill($sql$
        create or replace function {name}()
            returns trigger  set search_path = pg_catalog, pg_temp  language plpgsql
        as {body}
        $sql$, jsonb_build_object('name', name, 'body', quote_literal(pgpipe_internal.fill($body$
        begin
            if tg_op = 'INSERT' or new.{search} is null or {changed} then
                new.{search} := {expression};
            end if;
            return new;
        -- A column or the language was renamed or dropped: the row is written all the same.
        exception when undefined_column or undefined_object or program_limit_exceeded then
            return new;
        end
        $body$, jsonb_build_object(
            'search', quote_ident(wanted.column_name),
            'changed', pgpipe_internal.changed(array(
                select jsonb_object_keys(wanted.weights)::name
                union select wanted.language_column where wanted.language_column is not null
                union all select wanted.column_name), 'new', 'old'),
            'expression', pgpipe_internal.search_expression(
                wanted.target, wanted.weights,
                pgpipe_internal.declared_language(wanted.target, wanted.language),
                wanted.language_column, 'new', wanted.version))))))
$$;
comment on function pgpipe_internal.keeper_function(pgpipe.search_fill, text) is
    'SQL text: makes the trigger function of this name that computes a search column. It lies '
    'in the schema of the target, not in pgpipe_target: so a dump of that schema keeps the column.';

create or replace function pgpipe_internal.later_trigger(target regclass)
    returns name  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- For each row, before an INSERT or an UPDATE.
    select min(own.tgname) from pg_catalog.pg_trigger own
     where own.tgrelid = target and own.tgtype & 3 = 3 and own.tgtype & 20 > 0
       and own.tgenabled <> 'D'
       and own.tgname > 'zzz_pgpipe_search_' and own.tgname !~ '^zzz_pgpipe_search_'
$$;
comment on function pgpipe_internal.later_trigger(regclass) is
    'A trigger of a target that changes rows, and whose name stands after that of the trigger that '
    'keeps a search column; null for none.';

create or replace function pgpipe_internal.require_last_keeper(target regclass)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    later name := pgpipe_internal.later_trigger(target);
begin
    if later is not null then
        raise exception 'the trigger % of % would run after the one that keeps its search column, '
                        'and could change the text once more', quote_ident(later), target
            using errcode = 'PP003',
            hint = format('alter trigger %I on %s rename to %I', later, target, 'a_' || later);
    end if;
end
$$;
comment on function pgpipe_internal.require_last_keeper(regclass) is
    'Refuses a target (PP003) if a trigger of its own changes rows, and its name stands after that '
    'of the trigger that keeps a search column.';

create or replace function pgpipe_internal.keep_search_column(
    wanted pgpipe.search_fill, formerly name default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    name name;
    function text;
begin
    select keeper.trigger, keeper.function into name, function
      from pgpipe_internal.search_keeper(wanted.target, formerly) keeper;
    if name is null then
        name := 'zzz_pgpipe_search_'
                || to_hex((extract(epoch from clock_timestamp()) * 1000000)::bigint);
        select format('%I.%I', schema.nspname,
                      pgpipe_internal.derived_name(class.relname, substr(name, 11)))
          into function
          from pg_catalog.pg_class class
          join pg_catalog.pg_namespace schema on schema.oid = class.relnamespace
         where class.oid = wanted.target;
    else
        execute format('drop trigger %I on %s', name, wanted.target);
    end if;
    execute pgpipe_internal.keeper_function(wanted, function);
    execute format('comment on function %s() is %L', function,
                   format('Keeps %s.%I; made by pgpipe.', wanted.target, wanted.column_name));
    -- The last of the table's triggers by name, so the last to run: it sees what the others made
    -- of the row.
    execute format('create trigger %I before insert or update on %s '
                   'for each row execute function %s(%L)',
                   name, wanted.target, function, wanted.column_name);
end
$$;
comment on function pgpipe_internal.keep_search_column(pgpipe.search_fill, name) is
    'Puts the trigger on a target that computes a search column. If a trigger kept the column '
    'under its former name, it keeps it now.';

create or replace function pgpipe_internal.renew_search_keeper(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted pgpipe.search_fill;
    function regproc;
begin
    for wanted in
        select (jsonb_populate_record(null::pgpipe.search_fill, to_jsonb(serving))).*
          from pgpipe.search serving
         where serving.target = renew_search_keeper.target and serving.by_trigger
        union all
        select filling.* from pgpipe.search_fill filling
         where filling.target = renew_search_keeper.target
    loop
        function := (pgpipe_internal.search_keeper(target, wanted.column_name)).function;
        continue when function is null or exists (
            select from jsonb_object_keys(wanted.weights) declared
             where not pgpipe_internal.has_column(target, declared::name));
        execute pgpipe_internal.keeper_function(wanted, function::text);
    end loop;
end
$$;
comment on function pgpipe_internal.renew_search_keeper(regclass) is
    'Brings the functions that keep the search columns of a target up to date, unless a column of '
    'them is gone.';

create or replace function pgpipe_internal.drop_search_column(target regclass, column_name name)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    keeper record;
begin
    select * into keeper from pgpipe_internal.search_keeper(target, column_name);
    if keeper.trigger is not null then
        execute format('drop trigger %I on %s', keeper.trigger, target);
        execute format('drop function %s()', keeper.function);
    end if;
    if pgpipe_internal.has_column(target, column_name) then
        execute format('alter table %s drop column %I', target, column_name);
    end if;
end
$$;
comment on function pgpipe_internal.drop_search_column(regclass, name) is
    'Drops a search column with its index, and the trigger that keeps it.';
