-- Roles: who owns, who loads, who embeds, who reads. Which of them a database uses, and what
-- belongs to each.

create or replace function pgpipe_internal.roles_in_use()
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Roles belong to the whole cluster; that this database uses them shows in who owns its
    -- schema.
    select exists (select from pg_catalog.pg_namespace home
                    where home.nspname = 'pgpipe' and home.nspowner = to_regrole('pgpipe_owner'))
$$;
comment on function pgpipe_internal.roles_in_use() is
    'Whether this database uses the roles of pgpipe.create_roles.';

create or replace function pgpipe_internal.missing_roles()
    returns name[]  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select array(select wanted from unnest('{pgpipe_owner,pgpipe_loader,pgpipe_embedder,
                                             pgpipe_reader,pgpipe_api}'::name[]) wanted
                  where to_regrole(wanted::text) is null)
$$;
comment on function pgpipe_internal.missing_roles() is
    'The roles of pgpipe.create_roles that the cluster lacks.';

create or replace function pgpipe_internal.role_login(role name)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case role when 'pgpipe_owner' then 'nologin'
                     when 'pgpipe_api' then 'login noinherit' else 'login' end
$$;
comment on function pgpipe_internal.role_login(name) is
    'SQL text: whether a role of pgpipe.create_roles may log in.';

create or replace function pgpipe_internal.require_role_rights(missing name[])
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if (select role.rolcreaterole or role.rolsuper from pg_catalog.pg_roles role
         where role.rolname = current_user)
       or missing = '{}' and pg_has_role('pgpipe_owner', 'usage')
          and pg_has_role('pgpipe_loader', 'usage') then
        return;
    end if;
    raise exception '% may not create roles', quote_ident(current_user) using errcode = 'PP020',
        hint = concat(
            'As a superuser, or a role with CREATEROLE, run: ',
            (select string_agg(format('create role %I %s; ', role,
                                      pgpipe_internal.role_login(role)), '')
               from unnest(missing) role),
            format('grant pgpipe_owner, pgpipe_loader to %I; grant pgpipe_reader to pgpipe_api; '
                   'then `pgpipe roles` again.', current_user));
end
$$;
comment on function pgpipe_internal.require_role_rights(name[]) is
    'Raises PP020 for a caller who may not create the missing roles, with what to run instead.';

create or replace function pgpipe_internal.queue_role()
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select routine.proowner::regrole::text from pg_catalog.pg_proc routine
     where routine.oid = 'pgpipe_internal.note_fingerprint(int, bytea)'::regprocedure
$$;
comment on function pgpipe_internal.queue_role() is
    'Whose rights the functions with their owner''s rights have: pgpipe_queue, or who migrates '
    'where that role cannot be made.';

create or replace function pgpipe_internal.make_queue_role()
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    maker record;
begin
    select role.rolsuper as super, role.rolsuper or role.rolcreaterole as creates into maker
      from pg_catalog.pg_roles role where role.rolname = current_user;
    if to_regrole('pgpipe_queue') is null and maker.creates then
        begin
            execute format('create role pgpipe_queue nologin %s',
                           case when maker.super then 'bypassrls' else '' end);
        exception when duplicate_object or unique_violation then
            null;  -- another database of the cluster was migrated at this moment
        end;
    end if;
    if to_regrole('pgpipe_queue') is null then
        return false;
    elsif not pg_has_role('pgpipe_queue', 'usage') and maker.creates then
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
    'Makes the role pgpipe_queue, which cannot log in, where the caller may. Returns whether the '
    'caller may hand functions to it. Roles belong to the whole cluster: it serves all of its '
    'databases.';

create or replace function pgpipe_internal.own_definers()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    open constant name[] := '{copied_embedding,suspend_copy,render_triggers,render_queue,
                              lend_triggers}';
    part record;
    known boolean := pgpipe_internal.make_queue_role();
begin
    if known then
        perform pgpipe_internal.grant_queue_role();
    end if;
    for part in
        select routine.oid::regprocedure as name, routine.proowner::regrole as owner,
               routine.proname = any (open) as open,
               routine.prorettype = 'trigger'::regtype as fires
          from pg_catalog.pg_proc routine
         where routine.pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal')
           and routine.prosecdef
    loop
        if known and part.owner <> to_regrole('pgpipe_queue') then
            execute format('alter function %s owner to pgpipe_queue', part.name);
        end if;
        if not part.open then
            execute format('revoke all on function %s from public', part.name);
        end if;
        if pgpipe_internal.roles_in_use() then
            execute format('grant execute on function %s to pgpipe_loader', part.name);
            if not part.fires then
                execute format('grant execute on function %s to pgpipe_embedder', part.name);
            end if;
        end if;
    end loop;
    if known then
        revoke create on schema pgpipe, pgpipe_internal from pgpipe_queue;
    end if;
    perform pgpipe_internal.own_rendered(), pgpipe_internal.open_former_definers();
end
$$;
comment on function pgpipe_internal.own_definers() is
    'Hands functions with their owner''s rights to pgpipe_queue, which may write the queue and '
    'little else. Takes them from PUBLIC, but those that the triggers of any writer call.';

create or replace function pgpipe_internal.grant_queue_role()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    grant select, update (fingerprint, filter_error) on pgpipe.embedding to pgpipe_queue;
    grant select, insert, update, delete on pgpipe.job, pgpipe.missed to pgpipe_queue;
    grant select on pgpipe.template to pgpipe_queue;
    grant select, delete on pgpipe.load_file, pgpipe.tombstone to pgpipe_queue;
    grant select on pgpipe.history to pgpipe_queue;
    grant select, insert, update (nested) on pgpipe.history_mark to pgpipe_queue;
    grant usage, create on schema pgpipe_target to pgpipe_queue;
    -- Until own_definers ends: an owner could have made what he is given.
    grant create on schema pgpipe, pgpipe_internal to pgpipe_queue;
end
$$;
comment on function pgpipe_internal.grant_queue_role() is
    'Grants pgpipe_queue what the functions that it owns need.';

create or replace function pgpipe_internal.own_rendered()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    made record;
begin
    for made in
        select known.oid,
               coalesce(known.proowner <> to_regrole('pgpipe_queue'), false) as is_anothers
          from pg_catalog.pg_proc known
         where known.pronamespace = 'pgpipe_target'::regnamespace
           and pg_has_role(known.proowner, 'usage')
    loop
        if made.is_anothers and pg_has_role('pgpipe_queue', 'usage') then
            execute format('alter function %s owner to pgpipe_queue', made.oid::regprocedure);
        end if;
        perform pgpipe_internal.grant_rendered(made.oid);
    end loop;
end
$$;
comment on function pgpipe_internal.own_rendered() is
    'Hands rendered functions to pgpipe_queue, and grants them to who calls them. After a restore '
    'with --no-owner they belong to another role.';

create or replace function pgpipe_internal.open_former_definers()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    routine regprocedure;
begin
    for routine in
        select known.oid from pg_catalog.pg_proc known
         where known.pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal')
           and not known.prosecdef
           and known.proname = 'copy_vectors'
    loop
        execute format('grant execute on function %s to public', routine);
    end loop;
end
$$;
comment on function pgpipe_internal.open_former_definers() is
    'Gives PUBLIC back the functions that had their owner''s rights in earlier versions.';

create or replace function pgpipe_internal.own_parts()
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        -- The schemas first: who takes a function over must be allowed to make one there.
        select 'schema' as kind, home.nspname::text as name from pg_catalog.pg_namespace home
         where home.nspname in ('pgpipe_target', 'pgpipe_internal')
           and home.nspowner <> 'pgpipe_owner'::regrole
        union all
        select case when class.relkind = 'v' then 'view' else 'table' end,
               class.oid::regclass::text
          from pg_catalog.pg_class class
         where class.relnamespace = 'pgpipe'::regnamespace and class.relkind in ('r', 'p', 'v')
           and class.relowner <> 'pgpipe_owner'::regrole
        union all
        select 'routine', routine.oid::regprocedure::text from pg_catalog.pg_proc routine
         where routine.pronamespace::regnamespace::text in ('pgpipe', 'pgpipe_internal')
           and not routine.prosecdef and routine.proowner <> 'pgpipe_owner'::regrole
    loop
        execute format('alter %s %s owner to pgpipe_owner', part.kind, part.name);
    end loop;
    return query select pgpipe_internal.own_targets();
end
$$;
comment on function pgpipe_internal.own_parts() is
    'Hands what lies in pgpipe''s schemas to pgpipe_owner, but functions with their owner''s '
    'rights, and the targets to pgpipe_loader.';

create or replace function pgpipe_internal.own_targets()
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        with loaded as (
            select keeper.tgrelid as target from pg_catalog.pg_trigger keeper
             where keeper.tgfoid = 'pgpipe_internal.forget_files'::regproc
            union
            select marker.conrelid from pg_catalog.pg_constraint marker  -- of a distributed table
             where marker.conname = 'pgpipe_ledger' and marker.contype = 'c'
        )
        select class.oid::regclass as relation, home.nspname as schema
          from pg_catalog.pg_class class
          join pg_catalog.pg_namespace home on home.oid = class.relnamespace
         where class.relowner = current_user::regrole  -- a superuser has the rights of every owner
           and (class.oid in (select loaded.target from loaded)
                or exists (select from pgpipe.history known join loaded using (target)
                             join pg_catalog.pg_class owned on owned.oid = known.target
                            where class.oid = known.history
                              and owned.relowner in (class.relowner, 'pgpipe_loader'::regrole))
                or exists (select from pgpipe.embedding e join loaded using (target)
                            where class.oid = e.store and pgpipe_internal.is_store(e.store, e)
                               or class.oid = e.filter_table
                                  and pgpipe_internal.is_filter_table(e.filter_table, e)))
    loop
        execute format('grant usage, create on schema %I to pgpipe_loader', part.schema);
        execute format('alter table %s owner to pgpipe_loader', part.relation);
        return next format('pgpipe_loader owns %s', part.relation);
    end loop;
    perform pgpipe_internal.grant_targets();
end
$$;
comment on function pgpipe_internal.own_targets() is
    'Hands the tables that pgpipe loads, with their stores, filter tables and histories, to '
    'pgpipe_loader, as far as the caller owns them. Grants on all targets.';
