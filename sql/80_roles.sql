-- Roles: who owns, who loads, who embeds, who reads; each gets what its part needs and no more.

create or replace function pgpipe.roles_in_use()
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Roles belong to the whole cluster; that this database uses them shows in who owns its schema.
    select exists (select from pg_catalog.pg_namespace n where n.nspname = 'pgpipe' and n.nspowner = to_regrole('pgpipe_owner'))
$$;
comment on function pgpipe.roles_in_use() is 'Whether this database uses the roles of pgpipe.create_roles.';

create or replace function pgpipe.share(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    if not pgpipe.roles_in_use()
       or not (select pg_has_role(c.relowner, 'usage') from pg_catalog.pg_class c where c.oid = target) then
        return;
    end if;
    execute format('grant select on %s to pgpipe_embedder, pgpipe_reader', target);
    for e in select * from pgpipe.embedding x where x.target = share.target loop
        execute format('grant select, insert, update, delete on %s to pgpipe_embedder', e.store);
        execute format('grant select on %s to pgpipe_reader', concat_ws(', ', e.store, e.filter_table));
    end loop;
end
$$;
comment on function pgpipe.share(regclass) is
    'Lets the embedder and the reader read a target, and its stores be written by the one and read, with their filter tables, by the '
    'other. Nothing where this database does not use the roles, or where the caller does not own the target.';

create or replace function pgpipe.create_roles(targets name default 'public')
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted name;
    missing name[] := array(select w from unnest('{pgpipe_owner,pgpipe_loader,pgpipe_embedder,pgpipe_reader}'::name[]) w
                             where to_regrole(w::text) is null);
    may boolean := (select r.rolcreaterole or r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user);
begin
    if not may and (missing <> '{}' or not pg_has_role('pgpipe_owner', 'usage') or not pg_has_role('pgpipe_loader', 'usage')) then
        raise exception '% may not create roles', quote_ident(current_user) using errcode = 'PP020',
            hint = 'As a superuser, or a role with CREATEROLE, run: '
                || (select coalesce(string_agg(format('create role %I %s; ', m, case m when 'pgpipe_owner' then 'nologin'
                                                                                       else 'login' end), ''), '')
                      from unnest(missing) m)
                || format('grant pgpipe_owner, pgpipe_loader to %I; then `pgpipe roles` again.', current_user);
    end if;
    foreach wanted in array missing loop
        execute format('create role %I %s', wanted, case wanted when 'pgpipe_owner' then 'nologin' else 'login' end);
        return next format('created %s', wanted);
    end loop;
    foreach wanted in array '{pgpipe_owner,pgpipe_loader}'::name[] loop
        if not pg_has_role(wanted, 'usage') then  -- whoever migrates stays able to
            execute format('grant %I to %I', wanted, current_user);
            return next format('granted %s to %s', wanted, current_user);
        end if;
    end loop;
    if not pgpipe.roles_in_use() then
        execute 'alter schema pgpipe owner to pgpipe_owner';
        execute 'alter schema pgpipe_staging owner to pgpipe_owner';
        return next 'pgpipe_owner owns the schema pgpipe';
    end if;
    return query select pgpipe.grant_roles(targets);
end
$$;
comment on function pgpipe.create_roles(name) is
    'Creates pgpipe_owner (no login), pgpipe_loader, pgpipe_embedder and pgpipe_reader, hands the schema to the first and the targets to '
    'the second, and grants each what its part needs. Twice is a no-op. Raises PP020 for a caller who may not, with what to run instead.';

create or replace function pgpipe.grant_roles(targets name default 'public')
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe'::regnamespace and p.prosecdef loop
        execute format('revoke all on function %s from public', part.routine);
    end loop;
    if not pgpipe.roles_in_use() then
        return;
    end if;
    return query select pgpipe.own_parts();
    perform pgpipe.grant_schemas(targets);
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe'::regnamespace and p.prosecdef and p.prorettype <> 'trigger'::regtype loop
        execute format('grant execute on function %s to pgpipe_embedder', part.routine);
    end loop;
    for part in select c.relname, c.oid::regclass as relation, c.relkind from pg_catalog.pg_class c
                 where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relname !~ '^_?yoyo' loop
        if part.relkind = 'v' or part.relname = 'sql_file' then
            execute format('grant select on %s to pgpipe_loader, pgpipe_embedder, pgpipe_reader', part.relation);
        else
            execute format('grant select, insert, update, delete on %s to pgpipe_loader', part.relation);
            if part.relname in ('job', 'finished', 'sweep', 'reconciliation') then
                execute format('grant select, insert, update, delete on %s to pgpipe_embedder', part.relation);
            elsif part.relname = 'embedding' then
                execute format('grant select on %s to pgpipe_embedder', part.relation);
            end if;
            if part.relname not in ('job', 'rejected_row') then  -- which hold keys and contents of rows
                execute format('grant select on %s to pgpipe_reader', part.relation);
            end if;
        end if;
    end loop;
end
$$;
comment on function pgpipe.grant_roles(name) is
    'Takes functions with their owner''s rights from PUBLIC, and where this database uses the roles, grants each what its part needs of '
    'what is there now. `pgpipe migrate` ends with it.';

create or replace function pgpipe.own_parts()
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        select case when c.relkind = 'v' then 'view' else 'table' end as kind, c.oid::regclass::text as name
          from pg_catalog.pg_class c
         where c.relnamespace = 'pgpipe'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relowner <> 'pgpipe_owner'::regrole
        union all
        select 'routine', p.oid::regprocedure::text from pg_catalog.pg_proc p
         where p.pronamespace = 'pgpipe'::regnamespace and not p.prosecdef and p.proowner <> 'pgpipe_owner'::regrole
    loop
        execute format('alter %s %s owner to pgpipe_owner', part.kind, part.name);
    end loop;
    -- Functions with their owner's rights meet the types of targets, whose code is the loader's: so they run as the loader, never as
    -- the owner of the schema. To take them over it needs CREATE there for a moment.
    grant create on schema pgpipe to pgpipe_loader;
    for part in select p.oid::regprocedure as routine from pg_catalog.pg_proc p
                 where p.pronamespace = 'pgpipe'::regnamespace and p.prosecdef and p.proowner <> 'pgpipe_loader'::regrole loop
        execute format('alter function %s owner to pgpipe_loader', part.routine);
    end loop;
    revoke create on schema pgpipe from pgpipe_loader;
    return query select pgpipe.own_targets();
end
$$;
comment on function pgpipe.own_parts() is
    'Hands what lies in the schema pgpipe to pgpipe_owner, functions with their owner''s rights and the targets to pgpipe_loader.';

create or replace function pgpipe.own_targets()
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        with loaded as (
            select g.tgrelid as target from pg_catalog.pg_trigger g where g.tgfoid = 'pgpipe.forget_files'::regproc
        )
        select c.oid::regclass as relation, n.nspname as schema
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where (c.oid in (select l.target from loaded l)
                or c.oid in (select unnest(array[e.store, e.filter_table])
                               from pgpipe.embedding e join loaded l on l.target = e.target))
           and c.relowner <> 'pgpipe_loader'::regrole and pg_has_role(c.relowner, 'usage')
    loop
        execute format('grant usage, create on schema %I to pgpipe_loader', part.schema);
        execute format('alter table %s owner to pgpipe_loader', part.relation);
        return next format('pgpipe_loader owns %s', part.relation);
    end loop;
    for part in select c.oid::regclass as target from pg_catalog.pg_class c
                 where c.oid in (select s.target from pgpipe.search s union all select e.target from pgpipe.embedding e union all
                                 select g.tgrelid from pg_catalog.pg_trigger g where g.tgfoid = 'pgpipe.forget_files'::regproc)
    loop
        perform pgpipe.share(part.target);
    end loop;
end
$$;
comment on function pgpipe.own_targets() is
    'Hands the tables that pgpipe loads, with their stores and filter tables, to pgpipe_loader, as far as the caller owns them, and '
    'shares all targets.';

create or replace function pgpipe.grant_schemas(targets name)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    schema name;
begin
    grant usage on schema pgpipe to pgpipe_loader, pgpipe_embedder, pgpipe_reader;
    grant usage, create on schema pgpipe_staging to pgpipe_loader;
    foreach schema in array array[targets, pgpipe.vector_schema()] loop
        if schema is not null and has_schema_privilege(schema, 'usage with grant option') then
            execute format('grant usage on schema %I to pgpipe_loader, pgpipe_embedder, pgpipe_reader', schema);
        end if;
    end loop;
    if has_schema_privilege(targets, 'create with grant option') then
        execute format('grant create on schema %I to pgpipe_loader', targets);
    end if;
end
$$;
comment on function pgpipe.grant_schemas(name) is
    'Lets the three roles into pgpipe, the schema of the targets and that of pgvector; the loader may create tables among the targets.';
