-- Rendering: templates with {holes} become the functions of one embedding, in pgpipe_target.
-- What goes into the holes comes from the catalogue and from a declaration. Rendering runs nothing
-- of it.

create or replace function pgpipe_internal.render(template text, parts jsonb)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    body text := (select known.body from pgpipe.template known where known.name = render.template);
begin
    if body is null then
        raise exception 'the template % does not exist', quote_literal(template)
            using hint = 'Run `pgpipe migrate`.';
    end if;
    -- No part can end the quotation of the body: what holds the tag does not hold its own hash.
    if strpos(parts::text, '$body') > 0 then
        body := replace(body, '$body$', '$body_' || md5(parts::text) || '$');
    end if;
    return pgpipe_internal.fill(body, parts);
end
$$;
comment on function pgpipe_internal.render(text, jsonb) is
    'The text of a template, its holes filled. Raises an error if a hole has no part, or a part no '
    'hole.';

create or replace function pgpipe_internal.wanted_on(e pgpipe.embedding, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of the very types that were looked at: what is plain for them need not be so for others.
    select case key_.fits when 'true' then judged.wanted
                else format('(%s and %s)', judged.wanted, key_.fits) end
      from (select pgpipe_internal.key_fits(e.target, e.key_columns, alias) as fits) key_
     cross join lateral (select coalesce(
           (select format('exists (select from (select %s) t where (%s))', string_agg(
                       format('%s as %I', pgpipe_internal.pinned(
                                  pgpipe_internal.column_type_of(e.target, used.name),
                                  format('%s.%I', wanted_on.alias, used.name)), used.name),
                       ', ' order by used.place) filter (where used.name is not null), e.condition)
              from (select pgpipe_internal.plain_columns(e.target, e.condition) as columns) plain
              left join unnest(plain.columns) with ordinality used (name, place) on true
             where plain.columns is not null
            having count(*) > 0), 'true') as wanted) judged
$$;
comment on function pgpipe_internal.wanted_on(pgpipe.embedding, text) is
    'SQL text: the row `alias` belongs to an embedding, and its key fits into the queue. `true` if '
    'its condition is not plain: then the worker decides.';

create or replace function pgpipe_internal.dependencies(e pgpipe.embedding)
    returns setof name  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A column whose name merely stands in the condition may be one too many: that costs a sweep,
    -- never a stale vector.
    select item.attname from pg_catalog.pg_attribute item
     where item.attrelid = e.target and item.attnum > 0 and not item.attisdropped
       and (item.attname = any (e.key_columns || e.columns)
            or strpos(e.condition, quote_ident(item.attname)) > 0
            or item.attname = pgpipe_internal.deleted_column(e.target))
$$;
comment on function pgpipe_internal.dependencies(pgpipe.embedding) is
    'The columns that the keys, texts and condition of an embedding are made of.';

create or replace function pgpipe_internal.watched_columns(e pgpipe.embedding)
    returns name[]  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of a condition that a trigger may not compute, the columns that may stand in it.
    select e.columns
           || case when e.condition is null
                     or pgpipe_internal.plain_columns(e.target, e.condition) is not null then '{}'
                   else array(select named from pgpipe_internal.dependencies(e) named
                               where named <> all (e.columns || e.key_columns) order by named) end
$$;
comment on function pgpipe_internal.watched_columns(pgpipe.embedding) is
    'The columns whose change makes a trigger ask for a fresh vector.';

create or replace function pgpipe_internal.trigger_rows(
    e pgpipe.embedding, event text, rows text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- By their bare names: if a column is gone, `row.name` would call the function of that name.
    select format('(select %s from %I)', pgpipe_internal.column_list(array(
        select distinct needed.name
          from unnest(e.key_columns || pgpipe_internal.plain_columns(e.target, e.condition)
                      || case event when 'update'
                         then pgpipe_internal.watched_columns(e)
                              || pgpipe_internal.deleted_column(e.target) end) needed (name)
         where needed.name is not null
         order by needed.name)), rows)
$$;
comment on function pgpipe_internal.trigger_rows(pgpipe.embedding, text, text) is
    'SQL text: the columns of a transition table that a trigger function reads.';

create or replace function pgpipe_internal.update_parts(e pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with said as materialized (
        select pgpipe_internal.wanted_on(e, 'after') as after_is_wanted,
               pgpipe_internal.wanted_on(e, 'before') as before_is_wanted,
               pgpipe_internal.trigger_rows(e, 'update', 'new_rows') as new_rows,
               pgpipe_internal.trigger_rows(e, 'update', 'old_rows') as old_rows,
               pgpipe_internal.key_json(e.target, e.key_columns, 'after') as key_of_after,
               pgpipe_internal.key_json(e.target, e.key_columns, 'before') as key_of_before
    ), watched as materialized (
        select string_agg(format('after.%I as column_%s', name, place), ', ' order by place)
                   as of_after,
               string_agg(format('before.%I as column_%s', name, place), ', ' order by place)
                   as of_before,
               array_agg(format('column_%s', place)::name order by place) as names,
               -- A row that is marked as gone keeps its vectors; one that comes back is looked at.
               quote_ident(pgpipe_internal.deleted_column(e.target)) as deleted_column
          from unnest(pgpipe_internal.watched_columns(e)) with ordinality column_ (name, place)
    )
    select to_jsonb(said) || jsonb_build_object('changes', rtrim(pgpipe_internal.render(
               'update_changes', to_jsonb(said) || jsonb_build_object(
                   'columns_of_after', concat(watched.of_after, ', after.' || deleted_column
                                              || ' is null as is_live'),
                   'columns_of_before', concat(watched.of_before, ', before.' || deleted_column
                                               || ' is null as is_live'),
                   'unless_gone', case when deleted_column is not null
                                       then 'after.is_live is not false and ' end,
                   'changed', concat(case when deleted_column is not null
                                          then 'before.is_live is false or ' end,
                                     pgpipe_internal.changed(watched.names, 'after', 'before')))),
               E'\n'))
      from said cross join watched
$$;
comment on function pgpipe_internal.update_parts(pgpipe.embedding) is
    'The parts of the template `update` that depend on the columns of an embedding.';

create or replace function pgpipe_internal.insert_parts(e pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with said as materialized (
        select e.embedding_id as embedding,
               pgpipe_internal.trigger_rows(e, 'insert', 'new_rows') as new_rows,
               pgpipe_internal.key_json(e.target, e.key_columns, 'added') as key_of_added,
               pgpipe_internal.wanted_on(e, 'added') as added_is_wanted
    )
    select to_jsonb(said) || jsonb_build_object('enqueue', rtrim(pgpipe_internal.render(
               'enqueue_added', to_jsonb(said)), E'\n'))
      from said
$$;
comment on function pgpipe_internal.insert_parts(pgpipe.embedding) is
    'The parts of the template `insert` that depend on the columns of an embedding.';

create or replace function pgpipe_internal.trigger_parts(e pgpipe.embedding, event text)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
               'name', event || '_' || e.embedding_id, 'embedding', e.embedding_id,
               'key_columns', format('%L::name[]', e.key_columns),
               'again', rtrim(pgpipe_internal.render('enqueue_again', '{}'), E'\n'))
           || case event
              when 'insert' then pgpipe_internal.insert_parts(e)
              when 'delete' then jsonb_build_object(
                  'old_rows', pgpipe_internal.trigger_rows(e, event, 'old_rows'),
                  'key_of_removed', pgpipe_internal.key_json(e.target, e.key_columns, 'removed'),
                  'removed_is_wanted', pgpipe_internal.wanted_on(e, 'removed'))
              else pgpipe_internal.update_parts(e) end
$$;
comment on function pgpipe_internal.trigger_parts(pgpipe.embedding, text) is
    'The parts of the template of a trigger function, for one event: insert, update or delete.';

create or replace function pgpipe_internal.render_trigger(routine text, wanted text, about text)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    note constant text := format('%s Rendered by pgpipe, %s.', about, md5(wanted));
begin
    if note is distinct from obj_description(to_regprocedure(routine), 'pg_proc') then
        perform pgpipe_internal.propagate(false);
        execute wanted;
        execute format('comment on function %s is %L', routine, note);
        execute format('revoke all on function %s from public', routine);
        perform pgpipe_internal.propagate(true);
    end if;
end
$$;
comment on function pgpipe_internal.render_trigger(text, text, text) is
    'Makes a trigger function of this text, unless it is there; for render_triggers.';

create or replace function pgpipe_internal.render_triggers(embedding_id int)
    returns void
    volatile strict  security definer  set search_path = pg_catalog, pg_temp
    -- How a session reads a backslash must not change what is plain, nor what a template becomes.
    set standard_conforming_strings = on set quote_all_identifiers = off
    set check_function_bodies = off  -- a declaration that was forged must not stop a migrate
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    event text;
begin
    -- Two at once would meet in the catalogue.
    perform pg_advisory_xact_lock(hashtext('pgpipe render'), render_triggers.embedding_id);
    select * into e from pgpipe.embedding known
     where known.embedding_id = render_triggers.embedding_id;
    if not found or exists (select from unnest(e.key_columns || e.columns) needed (name)
                             where not pgpipe_internal.has_column(e.target, needed.name)) then
        return;  -- what stands notes that it cannot read
    end if;
    foreach event in array case when pgpipe_internal.is_distributed(e.target) then '{}'
                                else '{insert,update,delete}' end::text[] loop
        perform pgpipe_internal.render_trigger(
            format('pgpipe_target.%s_%s()', event, e.embedding_id),
            pgpipe_internal.render(event, pgpipe_internal.trigger_parts(e, event)),
            format('Trigger of the embedding %s: its jobs, after each %s.',
                   e.embedding_id, event));
    end loop;
    if e.filters <> '{}' and e.filter_error is null then
        foreach event in array '{copy_filters,copy_vectors}'::text[] loop
            perform pgpipe_internal.render_trigger(
                format('pgpipe_target.%s_%s()', event, e.embedding_id),
                pgpipe_internal.copy_function(e, event),
                format('Trigger of the embedding %s: its filter table.', e.embedding_id));
        end loop;
    end if;
    perform pgpipe_internal.render_queue(e.embedding_id);
end
$$;
comment on function pgpipe_internal.render_triggers(int) is
    'Renders the trigger functions of an embedding, and those of its queue, for its table as it is '
    'now. It leaves them alone if they fit, or if a column is missing. Triggers run with the '
    'rights of the role of the queue, and nobody may call them. Open to all: the declaration alone '
    'decides what it makes.';

create or replace function pgpipe_internal.lend_triggers(embedding_id int, lent boolean)
    returns void
    volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    routine record;
begin
    for routine in
        select made.oid::regprocedure as name, class.relowner::regrole as borrower
          from pgpipe.embedding e
          join pg_catalog.pg_class class on class.oid = e.target
          join pg_catalog.pg_proc made on made.pronamespace = 'pgpipe_target'::regnamespace
           and made.proname in ('insert_' || e.embedding_id, 'update_' || e.embedding_id,
                                'delete_' || e.embedding_id, 'copy_filters_' || e.embedding_id,
                                'copy_vectors_' || e.embedding_id)
         where e.embedding_id = lend_triggers.embedding_id and class.relowner <> made.proowner
    loop
        if lent then
            execute format('grant execute on function %s to %s', routine.name, routine.borrower);
        else
            execute format('revoke execute on function %s from %s', routine.name, routine.borrower);
        end if;
    end loop;
end
$$;
comment on function pgpipe_internal.lend_triggers(int, boolean) is
    'Lets the owner of a target make triggers of its rendered functions, or no longer. A trigger '
    'that runs needs no such right. Open to all: only the owner of the target gets anything.';

create or replace function pgpipe_internal.drop_rendered()
    returns void
    volatile  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    routine record;
begin
    for routine in
        select made.oid::regprocedure as name,
               exists (select from pg_catalog.pg_depend used
                        where used.refclassid = 'pg_catalog.pg_proc'::regclass
                          and used.refobjid = made.oid) as is_used
          from pg_catalog.pg_proc made
         where made.pronamespace = 'pgpipe_target'::regnamespace
           and not exists (select from pgpipe.embedding e
                            where made.proname ~ ('_' || e.embedding_id || '$'))
    loop
        if routine.is_used then  -- by a trigger that only the owner of its table may drop
            execute format('create or replace function %s returns trigger '
                           'set search_path = pg_catalog, pg_temp language plpgsql as %L',
                           routine.name, 'begin return null; end');
        else
            execute format('drop function %s', routine.name);
        end if;
    end loop;
end
$$;
comment on function pgpipe_internal.drop_rendered() is
    'Drops rendered functions whose embedding is gone. One that a trigger still calls does nothing '
    'from then on.';
