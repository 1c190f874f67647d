-- Roles: who owns, who loads, who embeds, who reads; each gets what its part needs and no more.

create or replace function pgpipe_internal.roles_in_use()
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Roles belong to the whole cluster; that this database uses them shows in who owns its schema.
    select exists (select from pg_catalog.pg_namespace n where n.nspname = 'pgpipe' and n.nspowner = to_regrole('pgpipe_owner'))
$$;
comment on function pgpipe_internal.roles_in_use() is 'Whether this database uses the roles of pgpipe.create_roles.';

create or replace function pgpipe_internal.queue_role()
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select p.proowner::regrole::text from pg_catalog.pg_proc p
     where p.oid = 'pgpipe_internal.hold_keys(int, oid[], tid[])'::regprocedure
$$;
comment on function pgpipe_internal.queue_role() is
    'Whose rights the functions with their owner''s rights have: pgpipe_queue, or who migrates where that role cannot be made.';

create or replace function pgpipe_internal.grant_target(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
    class pg_catalog.pg_class;
begin
    select * into class from pg_catalog.pg_class c where c.oid = target;
    if not pg_has_role(class.relowner, 'usage') then
        return;
    end if;
    for e in select * from pgpipe.embedding x where x.target = grant_target.target and pgpipe_internal.is_store(x.store, x) loop
        -- Enough to lock a row by its place, and no more.
        execute format('grant select (ctid, tableoid), update (%I) on %s to %s', e.key_columns[1], target, pgpipe_internal.queue_role());
        if has_schema_privilege(class.relnamespace, 'usage with grant option') then
            execute format('grant usage on schema %s to %s', class.relnamespace::regnamespace, pgpipe_internal.queue_role());
        end if;
        if pgpipe_internal.roles_in_use() then
            execute format('grant select, insert, update, delete on %s to pgpipe_embedder', e.store);
            execute format('grant select on %s to pgpipe_reader', e.store);
            if pgpipe_internal.is_filter_table(e.filter_table, e) then
                execute format('grant select, insert, update on %s to pgpipe_embedder', e.filter_table);
                -- Whom policies restrict is answered by the target itself; what the columns hold is not for him.
                execute format(case when class.relrowsecurity then 'revoke select on %s from pgpipe_reader'
                                    else 'grant select on %s to pgpipe_reader' end, e.filter_table);
            end if;
        end if;
    end loop;
    if pgpipe_internal.roles_in_use() then
        execute format('grant select on %s to pgpipe_embedder, pgpipe_reader', target);
    end if;
end
$$;
comment on function pgpipe_internal.grant_target(regclass) is
    'Lets the functions with their owner''s rights lock rows of a target. If this database uses '
    'the roles, the embedder and the reader may read it. The embedder may write its stores and '
    'filter tables, the reader read them. It does nothing if the caller does not own the target. '
    'It touches only stores and filter tables that the catalogue shows to be such.';

create or replace function pgpipe_internal.make_queue_role()
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    super boolean := (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user);
    creates boolean := (select r.rolsuper or r.rolcreaterole from pg_catalog.pg_roles r where r.rolname = current_user);
begin
    if to_regrole('pgpipe_queue') is null and creates then
        begin
            execute format('create role pgpipe_queue nologin %s', case when super then 'bypassrls' else '' end);
        exception when duplicate_object or unique_violation then
            null;  -- another database of the cluster was migrated at this moment
        end;
    end if;
    if to_regrole('pgpipe_queue') is null then
        return false;
    elsif not pg_has_role('pgpipe_queue', 'usage') and creates then
        begin
            execute format('grant pgpipe_queue to %I', current_user);
        exception when insufficient_privilege then
            null;  -- somebody else made it
        end;
    end if;
    return pg_has_role('pgpipe_queue', 'usage');
end
$$;
comment on function pgpipe_internal.make_queue_role() is
    'Makes the role pgpipe_queue, which cannot log in, where the caller may; whether he may hand functions to it. Roles belong to the '
    'whole cluster: it serves all of its databases.';

create or replace function pgpipe_internal.own_definers()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    open constant name[] := '{enqueue_keys,forget_keys,note_missed,watched_changes,vector_copy,suspend_copy,render_triggers,'
                           'lend_triggers}';
    part record;
    known boolean := pgpipe_internal.make_queue_role();
begin
    if known then
        grant select, update (fingerprint, filter_error) on pgpipe.embedding to pgpipe_queue;
        grant select, insert, update, delete on pgpipe.job to pgpipe_queue;
        grant select, insert, update, delete on pgpipe.missed to pgpipe_queue;
        grant select on pgpipe.template to pgpipe_queue;
        grant select, delete on pgpipe.load_file to pgpipe_queue;
        grant usage, create on schema pgpipe_target to pgpipe_queue;
        grant create on schema pgpipe, pgpipe_internal to pgpipe_queue;  -- for a moment: an owner could have made it
    end if;
    for part in select p.oid::regprocedure as routine, p.proname, p.proowner::regrole as owner, p.prorettype = 'trigger'::regtype as fires
                  from pg_catalog.pg_proc p where p.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace) and p.prosecdef loop
        if known and part.owner <> 'pgpipe_queue'::regrole then
            execute format('alter function %s owner to pgpipe_queue', part.routine);
        end if;
        if part.proname <> all (open) then
            execute format('revoke all on function %s from public', part.routine);
        end if;
        if pgpipe_internal.roles_in_use() then
            execute format('grant execute on function %s to pgpipe_loader', part.routine);
            if not part.fires then
                execute format('grant execute on function %s to pgpipe_embedder', part.routine);
            end if;
        end if;
    end loop;
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe_target'::regnamespace and p.proowner <> to_regrole('pgpipe_queue') and known loop
        execute format('alter function %s owner to pgpipe_queue', part.routine);  -- as after a restore with --no-owner
    end loop;
    -- In earlier versions these had their owner's rights.
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace) and not p.prosecdef
                   and p.proname in ('enqueue_changes', 'copy_vectors', 'settle_jobs', 'refresh_stale_searches') loop
        execute format('grant execute on function %s to public', part.routine);
    end loop;
    if known then
        revoke create on schema pgpipe, pgpipe_internal from pgpipe_queue;
    end if;
end
$$;
comment on function pgpipe_internal.own_definers() is
    'Hands functions with their owner''s rights to pgpipe_queue, which may write the queue and '
    'little else. Takes them from PUBLIC, but those that the triggers of any writer call.';

create or replace function pgpipe_internal.grant_roles(targets name default 'public')
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    perform pgpipe_internal.own_definers();
    if not pgpipe_internal.roles_in_use() then
        perform pgpipe_internal.grant_targets();
        return;
    end if;
    return query select pgpipe_internal.own_parts();
    perform pgpipe_internal.grant_schemas(targets);
    for part in select c.relname, c.oid::regclass as relation, c.relkind from pg_catalog.pg_class c
                 where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relname !~ '^_?yoyo' loop
        if part.relkind = 'v' or part.relname in ('sql_file', 'template') then
            execute format('grant select on %s to pgpipe_loader, pgpipe_embedder, pgpipe_reader', part.relation);
        else
            if part.relname in ('search', 'embedding') then
                execute format('grant select, insert, delete on %s to pgpipe_loader', part.relation);
            else
                execute format('grant select, insert, update, delete on %s to pgpipe_loader', part.relation);
            end if;
            if part.relname in ('job', 'finished', 'sweep', 'reconciliation', 'missed') then
                execute format('grant select, insert, update, delete on %s to pgpipe_embedder', part.relation);
            elsif part.relname = 'embedding' then
                execute format('grant select on %s to pgpipe_embedder', part.relation);
            end if;
            if part.relname in ('job', 'rejected_row', 'reconciliation') then  -- which hold keys and contents of rows
                execute format('revoke all on %s from pgpipe_reader', part.relation);
            else
                execute format('grant select on %s to pgpipe_reader', part.relation);
            end if;
        end if;
    end loop;
    -- By column: where vectors lie, and of what, is written once.
    revoke update on pgpipe.embedding, pgpipe.search from pgpipe_loader;
    grant update (active, paused_at, max_attempts, filters, filter_table, filter_error) on pgpipe.embedding to pgpipe_loader;
    grant update (documents, mean_length, refreshed_at) on pgpipe.search to pgpipe_loader, pgpipe_embedder;
    grant select on pgpipe.search to pgpipe_embedder;
    grant select, insert, delete on pgpipe.lexeme to pgpipe_embedder;
end
$$;
comment on function pgpipe_internal.grant_roles(name) is
    'Takes functions with their owner''s rights from PUBLIC. If this database uses the roles, it '
    'grants each what its part needs of what is there now. `pgpipe migrate` ends with it.';

create or replace function pgpipe_internal.own_parts()
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        -- The schemas first: who takes a function over must be allowed to make one there.
        select 'schema' as kind, n.nspname::text as name from pg_catalog.pg_namespace n
         where n.nspname in ('pgpipe_target', 'pgpipe_internal') and n.nspowner <> 'pgpipe_owner'::regrole
        union all
        select case when c.relkind = 'v' then 'view' else 'table' end, c.oid::regclass::text
          from pg_catalog.pg_class c
         where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relowner <> 'pgpipe_owner'::regrole
        union all
        select 'routine', p.oid::regprocedure::text from pg_catalog.pg_proc p
         where p.pronamespace in ('pgpipe'::regnamespace, 'pgpipe_internal'::regnamespace) and not p.prosecdef and p.proowner <> 'pgpipe_owner'::regrole
    loop
        execute format('alter %s %s owner to pgpipe_owner', part.kind, part.name);
    end loop;
    return query select pgpipe_internal.own_targets();
end
$$;
comment on function pgpipe_internal.own_parts() is
    'Hands what lies in the schema pgpipe to pgpipe_owner, but functions with their owner''s rights, and the targets to pgpipe_loader.';

create or replace function pgpipe_internal.grant_targets()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        select c.oid::regclass as target, c.oid in (select e.target from pgpipe.embedding e) as embedded, c.relowner
          from pg_catalog.pg_class c
         where c.oid in (select s.target from pgpipe.search s union all select e.target from pgpipe.embedding e union all
                         select g.tgrelid from pg_catalog.pg_trigger g where g.tgfoid = 'pgpipe_internal.forget_files'::regproc)
    loop
        begin
            if part.embedded and pg_has_role(part.relowner, 'usage') then
                perform pgpipe_internal.repair_triggers(part.target);  -- an earlier version's are others
            end if;
            perform pgpipe_internal.grant_target(part.target);
        exception when others then  -- what its owner did to a table is no reason to leave the others
            raise warning '% is left as it is: %', part.target, sqlerrm
                using hint = 'Mend the table, or drop what is declared about it; then `pgpipe reconcile`.';
        end;
    end loop;
end
$$;
comment on function pgpipe_internal.grant_targets() is
    'Grants on all targets that the caller owns, and brings their triggers up to date. Warns of one where that fails.';

create or replace function pgpipe_internal.own_targets()
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        with loaded as (
            select g.tgrelid as target from pg_catalog.pg_trigger g where g.tgfoid = 'pgpipe_internal.forget_files'::regproc
        )
        select c.oid::regclass as relation, n.nspname as schema
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where (c.oid in (select l.target from loaded l)
                or c.oid in (select unnest(array[case when pgpipe_internal.is_store(e.store, e) then e.store end,
                                                 case when pgpipe_internal.is_filter_table(e.filter_table, e) then e.filter_table end])
                               from pgpipe.embedding e join loaded l on l.target = e.target))
           and c.relowner = current_user::regrole  -- his own: a superuser has the rights of every owner
    loop
        execute format('grant usage, create on schema %I to pgpipe_loader', part.schema);
        execute format('alter table %s owner to pgpipe_loader', part.relation);
        return next format('pgpipe_loader owns %s', part.relation);
    end loop;
    perform pgpipe_internal.grant_targets();
end
$$;
comment on function pgpipe_internal.own_targets() is
    'Hands the tables that pgpipe loads, with their stores and filter tables, to pgpipe_loader, '
    'as far as the caller owns them. Grants on all targets.';

create or replace function pgpipe_internal.grant_schemas(targets name)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    schema name;
begin
    grant usage on schema pgpipe to pgpipe_loader, pgpipe_embedder, pgpipe_reader;
    grant usage, create on schema pgpipe_staging to pgpipe_loader;
    foreach schema in array array[targets, pgpipe_internal.vector_schema()] loop
        if schema is not null and has_schema_privilege(schema, 'usage with grant option') then
            execute format('grant usage on schema %I to pgpipe_loader, pgpipe_embedder, pgpipe_reader', schema);
        end if;
    end loop;
    if has_schema_privilege(targets, 'create with grant option') then
        execute format('grant create on schema %I to pgpipe_loader', targets);
    end if;
end
$$;
comment on function pgpipe_internal.grant_schemas(name) is
    'Lets the three roles into pgpipe, the schema of the targets and that of pgvector. The loader may create tables among the targets.';
