-- Row level security: whether a worker sees all rows. A row that is hidden from it would look
-- deleted. It is read from the catalogue: asking the table would run the code of its policies as
-- the worker.

create or replace function pgpipe_internal.sees_all_rows(
    relation regclass, reader oid, commands text)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with applied as (
        select policy.polcmd, policy.polpermissive,
               pg_catalog.pg_get_expr(policy.polqual, policy.polrelid) as visible,
               pg_catalog.pg_get_expr(policy.polwithcheck, policy.polrelid) as writable
          from pg_catalog.pg_policy policy
         where policy.polrelid = sees_all_rows.relation
           and exists (select from unnest(policy.polroles) grantee (oid)
                        where grantee.oid = 0
                           or pg_has_role(sees_all_rows.reader, grantee.oid, 'usage'))
    )
    select not class.relrowsecurity or role.rolsuper or role.rolbypassrls
           or (not class.relforcerowsecurity and pg_has_role(role.oid, class.relowner, 'usage'))
           or (select bool_and(
                   exists (select from applied
                            where applied.polpermissive and applied.polcmd::text in (wanted, '*')
                              and case wanted when 'a'
                                  then coalesce(applied.writable, applied.visible)
                                  else applied.visible end = 'true')
                   and not exists (select from applied
                                    where not applied.polpermissive
                                      and applied.polcmd::text in (wanted, '*')))
                 from string_to_table(sees_all_rows.commands, null) wanted)
      from pg_catalog.pg_class class cross join pg_catalog.pg_roles role
     where class.oid = sees_all_rows.relation and role.oid = sees_all_rows.reader
$$;
comment on function pgpipe_internal.sees_all_rows(regclass, oid, text) is
    'Whether a role sees all rows with each of the commands (r, a, w, d: SELECT, INSERT, UPDATE, '
    'DELETE). It does if row level security is not in force for it. It also does if a permissive '
    'policy with using (true) applies, and no restrictive one.';

create or replace function pgpipe_internal.hidden_rows(e pgpipe.embedding, worker oid)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The worker reads the rows; the role of the queue locks them, for which a policy of UPDATE
    -- must pass too.
    select format('row level security hides rows of %1$s from %2$I: alter role %2$I bypassrls; or: '
                  'create policy pgpipe_worker on %1$s to %2$I using (true)%3$s',
                  needed.relation, role.rolname,
                  case when exists (select from pg_catalog.pg_policy policy
                                     where policy.polrelid = needed.relation
                                       and not policy.polpermissive)
                       then ', and let no restrictive policy apply to it' else '' end)
      from (values (1, e.target, hidden_rows.worker, 'r'), (2, e.store, hidden_rows.worker, 'rawd'),
                   (3, e.target, (select routine.proowner from pg_catalog.pg_proc routine
                                   where routine.proname = 'note_fingerprint'
                                     and routine.pronamespace::regnamespace::text
                                         in ('pgpipe', 'pgpipe_internal')), 'rw'))
           needed (place, relation, reader, commands)
      join pg_catalog.pg_roles role on role.oid = needed.reader
     where not pgpipe_internal.sees_all_rows(needed.relation, needed.reader, needed.commands)
     order by needed.place limit 1
$$;
comment on function pgpipe_internal.hidden_rows(pgpipe.embedding, oid) is
    'Which rows a worker of this role would not see, and what to grant; null where it sees all.';

create or replace function pgpipe_internal.require_no_hidden_rows(e pgpipe.embedding)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    hidden text := pgpipe_internal.hidden_rows(e, to_regrole(quote_ident(current_user)));
begin
    if hidden is not null then
        raise exception 'the embedding % of % is left alone', quote_ident(e.name), e.target
            using errcode = 'PP012', hint = hidden;
    end if;
end
$$;
comment on function pgpipe_internal.require_no_hidden_rows(pgpipe.embedding) is
    'Raises PP012, with what to grant, if row level security hides rows of an embedding from the '
    'caller. They would seem to be deleted. The caller has locked the target.';

create or replace function pgpipe_internal.require_all_rows(e pgpipe.embedding)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- No policy changes before this transaction ends.
    execute format('lock table only %s in access share mode', e.target);
    perform pgpipe_internal.require_no_hidden_rows(e);
end
$$;
comment on function pgpipe_internal.require_all_rows(pgpipe.embedding) is
    'Locks the target, so that no policy of it changes, and raises PP012 if one hides rows.';

create or replace function pgpipe_internal.worker_role()
    returns oid  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return case when pgpipe_internal.roles_in_use() then to_regrole('pgpipe_embedder')
                when has_table_privilege('pgpipe.job', 'update')
                then to_regrole(quote_ident(current_user)) end;
end
$$;
comment on function pgpipe_internal.worker_role() is
    'The role that embeds: pgpipe_embedder where this database uses the roles, else the caller, '
    'if it may work on the queue.';
