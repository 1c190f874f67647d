-- The roles of a database: who owns, who loads, who embeds, who reads.

create or replace function pgpipe.create_roles(targets name default 'public')
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted name;
    schema name;
    missing name[] := pgpipe_internal.missing_roles();
begin
    perform pgpipe_internal.require_role_rights(missing);
    foreach wanted in array missing loop
        execute format('create role %I %s', wanted, pgpipe_internal.role_login(wanted));
        return next format('created %s', wanted);
    end loop;
    foreach wanted in array '{pgpipe_owner,pgpipe_loader}'::name[] loop
        if not pg_has_role(wanted, 'usage') then  -- the role that migrates stays able to
            execute format('grant %I to %I', wanted, current_user);
            return next format('granted %s to %s', wanted, current_user);
        end if;
    end loop;
    if not pg_has_role('pgpipe_api', 'pgpipe_reader', 'member') then
        grant pgpipe_reader to pgpipe_api;
        return next 'granted pgpipe_reader to pgpipe_api';
    end if;
    if not pgpipe_internal.roles_in_use() then
        foreach schema in array '{pgpipe,pgpipe_internal,pgpipe_staging}'::name[] loop
            execute format('alter schema %I owner to pgpipe_owner', schema);
        end loop;
        return next 'pgpipe_owner owns the schema pgpipe';
    end if;
    return query select pgpipe_internal.grant_roles(targets);
end
$$;
comment on function pgpipe.create_roles(name) is
    'Creates pgpipe_owner (no login), pgpipe_loader, pgpipe_embedder, pgpipe_reader and '
    'pgpipe_api. Hands the schema to the first and the targets to the second. Grants each what '
    'its part needs. Twice is a no-op. Raises PP020 for a caller who may not, with what to run '
    'instead. Example: select pgpipe.create_roles(targets => ''public'')';
