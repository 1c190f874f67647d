-- The roles of a database: who owns, who loads, who embeds, who reads.

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
        if not pg_has_role(wanted, 'usage') then  -- the role that migrates stays able to
            execute format('grant %I to %I', wanted, current_user);
            return next format('granted %s to %s', wanted, current_user);
        end if;
    end loop;
    if not pgpipe_internal.roles_in_use() then
        execute 'alter schema pgpipe owner to pgpipe_owner';
        execute 'alter schema pgpipe_internal owner to pgpipe_owner';
        execute 'alter schema pgpipe_staging owner to pgpipe_owner';
        return next 'pgpipe_owner owns the schema pgpipe';
    end if;
    return query select pgpipe_internal.grant_roles(targets);
end
$$;
comment on function pgpipe.create_roles(name) is
    'Creates pgpipe_owner (no login), pgpipe_loader, pgpipe_embedder and pgpipe_reader. Hands the '
    'schema to the first and the targets to the second. Grants each what its part needs. Twice is '
    'a no-op. Raises PP020 for a caller who may not, with what to run instead. '
    'Example: select pgpipe.create_roles(targets => ''public'')';
