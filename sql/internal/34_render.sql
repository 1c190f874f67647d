-- Rendering: templates with {holes} become the functions of one embedding, in pgpipe_target.
-- What goes into the holes comes from the catalogue and from a declaration. Rendering runs none of it.

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
    'The text of a template, its holes filled. Raises an error if a hole has no part, or a part no hole.';

create or replace function pgpipe_internal.trigger_parts(e pgpipe.embedding, event text)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A changed key is a row that went and a row that came.
    select jsonb_build_object('name', event || '_' || e.embedding_id, 'embedding', e.embedding_id)
           || case event
              when 'insert' then jsonb_build_object(
                  'key_of_added', pgpipe_internal.key_json(e.target, e.key_columns, 'added'),
                  'condition_of_added', pgpipe_internal.condition_on(e.condition, 'added'))
              when 'update' then jsonb_build_object(
                  'key_of_after', pgpipe_internal.key_json(e.target, e.key_columns, 'after'),
                  'key_of_before', pgpipe_internal.key_json(e.target, e.key_columns, 'before'),
                  'first_key', quote_ident(e.key_columns[1]),
                  'same_key', pgpipe_internal.same_key(e.target, e.key_columns, 'after', 'before'),
                  'condition_of_after', pgpipe_internal.condition_on(e.condition, 'after'),
                  'condition_of_before', pgpipe_internal.condition_on(e.condition, 'before'),
                  'changed', pgpipe_internal.changed(e.columns, 'after', 'before'))
              else jsonb_build_object(
                  'key_of_before', pgpipe_internal.key_json(e.target, e.key_columns, 'before'))
              end
$$;
comment on function pgpipe_internal.trigger_parts(pgpipe.embedding, text) is
    'The parts of the template of a trigger function, for one event: insert, update or delete.';

create or replace function pgpipe_internal.render_triggers(embedding_id int)
    returns void
    volatile strict  security definer  set search_path = pg_catalog, pg_temp
    set check_function_bodies = off  -- a declaration that was forged must not stop a migrate
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    event text;
    routine text;
    wanted text;
    note text;
begin
    -- Two at once would meet in the catalogue.
    perform pg_advisory_xact_lock(hashtext('pgpipe render'), render_triggers.embedding_id);
    select * into e from pgpipe.embedding known
     where known.embedding_id = render_triggers.embedding_id;
    if not found or exists (select from unnest(e.key_columns || e.columns) needed (name)
                             where not pgpipe_internal.has_column(e.target, needed.name)) then
        return;  -- what stands notes that it cannot read
    end if;
    foreach event in array '{insert,update,delete}'::text[] loop
        routine := format('pgpipe_target.%s_%s()', event, e.embedding_id);
        wanted := pgpipe_internal.render(event, pgpipe_internal.trigger_parts(e, event));
        note := format('Trigger of the embedding %s: its jobs, after each %s. Rendered by pgpipe, %s.',
                       e.embedding_id, event, md5(wanted));
        if note is distinct from obj_description(to_regprocedure(routine), 'pg_proc') then
            execute wanted;
            execute format('comment on function %s is %L', routine, note);
            execute format('revoke all on function %s from public', routine);
        end if;
    end loop;
    perform pgpipe_internal.render_queue(e.embedding_id);
end
$$;
comment on function pgpipe_internal.render_triggers(int) is
    'Renders the trigger functions of an embedding, and those of its queue, for its table as it is now. It leaves them alone if they '
    'fit, or if a column is missing. They run as the one who writes. Open to all: the declaration alone '
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
                                'delete_' || e.embedding_id)
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
    'Lets the owner of a target make triggers of its rendered functions, or no longer. A trigger that runs '
    'needs no such right. Open to all: only the owner of the target gets anything.';

create or replace function pgpipe_internal.drop_rendered()
    returns void
    volatile  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    routine regprocedure;
begin
    for routine in
        select made.oid from pg_catalog.pg_proc made
         where made.pronamespace = 'pgpipe_target'::regnamespace
           and not exists (select from pgpipe.embedding e
                            where made.proname ~ ('_' || e.embedding_id || '$'))
           and not exists (select from pg_catalog.pg_depend used
                            where used.refclassid = 'pg_catalog.pg_proc'::regclass
                              and used.refobjid = made.oid)
    loop
        execute format('drop function %s', routine);
    end loop;
end
$$;
comment on function pgpipe_internal.drop_rendered() is
    'Drops rendered functions whose embedding is gone and that no trigger calls.';
