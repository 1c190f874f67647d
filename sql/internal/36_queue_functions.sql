-- The functions of an embedding that its queue calls: claim, finish, reconcile and what they call,
-- rendered from the templates for its table as it is now.

create or replace function pgpipe_internal.rendered_definition(e pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select md5(concat_ws(E'\n', e.target, e.store, e.key_columns, e.columns, e.template,
                         e.condition, pgpipe_internal.vector_schema(),
                         pgpipe_internal.deleted_column(e.target), string_agg(
               concat_ws(' ', quote_ident(item.attname),
                         pg_catalog.format_type(item.atttypid, item.atttypmod),
                         item.atttypid >= 16384 and pgpipe_internal.holds_domain(item.atttypid)),
               ', ' order by item.attnum)))
      from pg_catalog.pg_attribute item
     where item.attrelid = e.target
       and item.attname = any (e.key_columns || e.columns
                               || pgpipe_internal.condition_columns(e.target, e.condition))
       and item.attnum > 0 and not item.attisdropped
$$;
comment on function pgpipe_internal.rendered_definition(pgpipe.embedding) is
    'A hash of the names and types that the rendered functions of an embedding are made of.';

create or replace function pgpipe_internal.queue_parts(e pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
        'embedding', e.embedding_id,
        'definition', quote_literal(pgpipe_internal.rendered_definition(e)),
        'vector_schema', quote_ident(pgpipe_internal.vector_schema()),
        'target', e.target::text, 'target_name', quote_literal(e.target::text),
        'store', e.store::text,
        'input', pgpipe_internal.input_expression(
            e.columns, e.template, pgpipe_internal.present_condition(e), 'target'),
        'and_live', E'\n           and target.'
                    || quote_ident(pgpipe_internal.deleted_column(e.target)) || ' is null',
        'key_columns', pgpipe_internal.column_list(e.key_columns),
        'key_order', pgpipe_internal.column_list(e.key_columns, 'target'),
        'key_values', (
            select string_agg(pgpipe_internal.key_value(e.target, key.name, 'job.key'), ', '
                              order by key.place)
              from unnest(e.key_columns) with ordinality key (name, place)),
        'key_is_unreadable', pgpipe_internal.key_unreadable(e.target, e.key_columns, 'job.key'),
        'key_of_target', pgpipe_internal.key_json(e.target, e.key_columns, 'target'),
        'key_of_store', pgpipe_internal.key_json(e.target, e.key_columns, 'stored'),
        'numbered_key', pgpipe_internal.numbered_list(e.key_columns, 'target'),
        'is_key_of_target', pgpipe_internal.key_match(e.target, e.key_columns, 'target', 'job.key'),
        'is_key_of_store', pgpipe_internal.key_match(e.target, e.key_columns, 'stored', 'job.key'),
        'is_key_of_source', pgpipe_internal.same_key(e.target, e.key_columns, 'other', 'source'),
        'is_numbered_key_of_store',
            pgpipe_internal.same_numbered(e.target, e.key_columns, 'range', 'stored'),
        'same_key', pgpipe_internal.same_key(e.target, e.key_columns, 'target', 'stored'))
$$;
comment on function pgpipe_internal.queue_parts(pgpipe.embedding) is
    'The parts of the templates of the queue, but for those of a range of keys.';

create or replace function pgpipe_internal.range_parts(e pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
        'target_is_after',
            pgpipe_internal.key_after(e.target, e.key_columns, 'target', 'bounds.low'),
        'store_is_after',
            pgpipe_internal.key_after(e.target, e.key_columns, 'stored', 'bounds.low'),
        'store_is_up_to',
            pgpipe_internal.key_after(e.target, e.key_columns, 'stored', 'bounds.high', false))
$$;
comment on function pgpipe_internal.range_parts(pgpipe.embedding) is
    'The parts of the templates that compare keys with the bounds of a range.';

create or replace function pgpipe_internal.queue_function(template text, parts jsonb)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.render(known.name, jsonb_object_agg(part.key, part.value))
      from pgpipe.template known
      join jsonb_each(queue_function.parts) part on strpos(known.body, '{' || part.key || '}') > 0
     where known.name = queue_function.template
     group by known.name
$$;
comment on function pgpipe_internal.queue_function(text, jsonb) is
    'The text of a function of a queue, of those of the parts that its template has holes for.';

create or replace function pgpipe_internal.render_queue(embedding_id int)
    returns void
    volatile strict  security definer  set search_path = pg_catalog, pg_temp
    -- How a session reads a backslash must not change what a template becomes.
    set standard_conforming_strings = on set quote_all_identifiers = off
    set check_function_bodies = off  -- a declaration that was forged must not stop a migrate
    language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe_internal.renderable(render_queue.embedding_id);
    parts jsonb;
    template record;
    wanted text;
    note text;
begin
    if e.embedding_id is null or pgpipe_internal.vector_schema() is null then
        return;  -- what stands says why when it is called
    end if;
    perform pgpipe_internal.require_computable(e);
    parts := pgpipe_internal.queue_parts(e) || pgpipe_internal.range_parts(e)
             || pgpipe_internal.distributed_parts(e);
    perform pgpipe_internal.propagate(false);
    for template in select * from pgpipe_internal.queue_templates(e) loop
        wanted := pgpipe_internal.queue_function(template.name, parts);
        note := format('%s Rendered by pgpipe, %s.', template.purpose, md5(wanted));
        if not exists (select from pg_catalog.pg_proc made
                        where made.pronamespace = 'pgpipe_target'::regnamespace
                          and made.proname = template.routine
                          and obj_description(made.oid, 'pg_proc') = note) then
            execute wanted;
            execute format('comment on function pgpipe_target.%I is %L', template.routine, note);
            perform pgpipe_internal.grant_rendered(
                format('pgpipe_target.%I', template.routine)::regproc);
        end if;
    end loop;
    perform pgpipe_internal.propagate(true);
exception when sqlstate 'PP003' then  -- a key that cannot be read: what stands says so
    if to_regproc(format('pgpipe_target.claim_%s', embedding_id)) is null then raise; end if;
end
$$;
comment on function pgpipe_internal.render_queue(int) is
    'Renders the functions of the queue of an embedding for its table as it is now. It leaves them '
    'alone if they fit, or if a column is missing. They run as the one who calls them, but those '
    'that lock rows. Open to all: the declaration alone decides what it makes.';

create or replace function pgpipe_internal.is_rendered(e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_proc made
         where made.pronamespace = 'pgpipe_target'::regnamespace
           and made.proname = 'claim_' || e.embedding_id
           and strpos(made.prosrc, pgpipe_internal.rendered_definition(e)) > 0)
$$;
comment on function pgpipe_internal.is_rendered(pgpipe.embedding) is
    'Whether the functions of the queue of an embedding are of its present definition.';

create or replace function pgpipe_internal.renderable(embedding_id int)
    returns pgpipe.embedding  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    -- Two at once would meet in the catalogue.
    perform pg_advisory_xact_lock(hashtext('pgpipe render'), renderable.embedding_id);
    select * into e from pgpipe.embedding known where known.embedding_id = renderable.embedding_id;
    return case when pgpipe_internal.lost_column(e) is null then e end;
end
$$;
comment on function pgpipe_internal.renderable(int) is
    'The embedding, for the caller alone to render; null if its table lacks a column.';

create or replace function pgpipe_internal.lost_column(e pgpipe.embedding)
    returns name  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select min(needed.name)
      from unnest(e.key_columns || e.columns || e.condition_columns) needed (name)
     where not pgpipe_internal.has_column(e.target, needed.name)
$$;
comment on function pgpipe_internal.lost_column(pgpipe.embedding) is
    'A column that an embedding needs and its table lacks; null for none.';

create or replace function pgpipe_internal.grant_rendered(routine regproc)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    made pg_catalog.pg_proc;
begin
    select * into strict made from pg_catalog.pg_proc known where known.oid = routine;
    execute format('revoke all on function %s from public', made.oid::regprocedure);
    if made.prorettype = 'trigger'::regtype then
        return;  -- a trigger that runs needs no right to its function
    elsif pgpipe_internal.roles_in_use() then
        execute format('grant execute on function %s to pgpipe_loader, pgpipe_embedder',
                       made.oid::regprocedure);
    elsif not made.prosecdef then  -- its caller's rights decide
        execute format('grant execute on function %s to public', made.oid::regprocedure);
    end if;
end
$$;
comment on function pgpipe_internal.grant_rendered(regproc) is
    'Lets the loader and the embedder call a rendered function; without roles, all whose rights '
    'it uses.';

create or replace function pgpipe_internal.require_rendered(embedding_id int, definition text)
    returns pgpipe.embedding  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = require_rendered.embedding_id;
    if pgpipe_internal.rendered_definition(e) <> definition then
        perform pgpipe_internal.require_computable(e);
        perform pgpipe_internal.queue_parts(e);  -- says what cannot be rendered
        raise exception 'the functions of the embedding % of % are of an earlier definition',
            quote_ident(e.name), e.target using errcode = 'PP021', hint = 'Run `pgpipe reconcile`.';
    end if;
    perform pgpipe_internal.require_no_hidden_rows(e);
    return e;
end
$$;
comment on function pgpipe_internal.require_rendered(int, text) is
    'The embedding, if its functions are rendered for its table as it is. Raises PP021 if not, '
    'PP002 if a column is missing, and PP012 if row level security hides rows from the caller.';
