-- Access: whether the caller may load into a table, and what is missing if not. A plan asks before
-- a row is read.

create or replace function pgpipe_internal.wrong_kind(target regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('%s is %s, and rows go into tables only: rename it, or let database.schema name '
                  'another schema', target,
                  case class.relkind when 'v' then 'a view' when 'm' then 'a materialized view'
                       when 'f' then 'a foreign table' when 'S' then 'a sequence'
                       when 'c' then 'a composite type' else 'an index' end)
      from pg_catalog.pg_class class
     where class.oid = target and class.relkind not in ('r', 'p')
    union all
    select format('%s keeps the history of %s: give the folder another name', known.history,
                  known.target)
      from pgpipe.history known where known.history = wrong_kind.target
$$;
comment on function pgpipe_internal.wrong_kind(regclass) is
    'Why no rows are loaded into a relation: it is not a table, or keeps a history; else null.';

create or replace function pgpipe_internal.missing_rights(target regclass, mode text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Rights on single columns may be enough.
    select format('the role %1$I lacks %2$s on %3$s, which belongs to %4$I: '
                  'grant %5$s on %3$s to %1$I', current_user, upper(lacking.rights), target,
                  pg_catalog.pg_get_userbyid(class.relowner), lacking.rights)
      from pg_catalog.pg_class class
     cross join lateral (
           select string_agg(wanted.name, ', ' order by wanted.place) as rights
             from (values (1, 'select', mode <> 'append'), (2, 'insert', true),
                          (3, 'update', mode <> 'append'),
                          (4, 'delete', mode = 'snapshot'  -- or rows are marked
                                        and pgpipe_internal.deleted_column(target) is null),
                          (5, 'trigger', not pgpipe_internal.has_ledger(target)
                                         and not pgpipe_internal.is_distributed(target)))
                  wanted (place, name, is_needed)
            where wanted.is_needed
              and case when wanted.name in ('delete', 'trigger')
                       then not has_table_privilege(target, wanted.name)
                       else not has_any_column_privilege(target, wanted.name) end) lacking
     where class.oid = target and lacking.rights is not null
$$;
comment on function pgpipe_internal.missing_rights(regclass, text) is
    'Which rights on a target a load in this mode lacks, and the grant; null if it has all.';

create or replace function pgpipe_internal.rows_hidden_from_load(target regclass, mode text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- To a merge a hidden row is one that is not there. COPY needs a table without policies.
    select format('row level security is in force on %1$s for the role %2$I (%3$s), and %4$s: '
                  'alter role %2$I bypassrls%5$s', target, role.rolname, coalesce(
                      'policies: ' || (select string_agg(quote_ident(policy.polname), ', '
                                                         order by policy.polname)
                                         from pg_catalog.pg_policy policy
                                        where policy.polrelid = target), 'no policy'),
                  case mode when 'append' then 'an append copies rows, which it does not allow'
                       else 'rows that it hides would be inserted again, and never deleted' end,
                  case when class.relforcerowsecurity
                            and pg_has_role(role.oid, class.relowner, 'usage')
                       then format(', or alter table %s no force row level security', target)
                       when mode <> 'append' then format(
                            ', or create policy pgpipe_load on %s to %I using (true)', target,
                            role.rolname) else '' end)
      from pg_catalog.pg_class class
      join pg_catalog.pg_roles role on role.rolname = current_user
     where class.oid = target
       and case mode when 'append' then row_security_active(target)
                else not pgpipe_internal.sees_all_rows(target, role.oid, 'r') end
$$;
comment on function pgpipe_internal.rows_hidden_from_load(regclass, text) is
    'Which policies may hide rows of a target from a load in this mode, and what to do; null if it '
    'sees all rows.';

create or replace function pgpipe_internal.missing_schema_rights(schema name, creates boolean)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case
           when not has_schema_privilege('pgpipe_staging', 'create')
           then format('the role %1$I may not load: grant pgpipe_loader to %1$I (`pgpipe roles` '
                       'makes that role)', current_user)
           when creates and not has_schema_privilege(schema, 'create')
           then format('the role %1$I may not create tables in the schema %2$I: '
                       'grant create on schema %2$I to %1$I', current_user, schema) end
$$;
comment on function pgpipe_internal.missing_schema_rights(name, boolean) is
    'Which rights on schemas a load lacks, and the grant; null if it has all.';

create or replace function pgpipe_internal.load_obstacle(
    schema name, target regclass, mode text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(pgpipe_internal.missing_schema_rights(schema, target is null),
                    pgpipe_internal.missing_rights(target, mode),
                    pgpipe_internal.rows_hidden_from_load(target, mode))
$$;
comment on function pgpipe_internal.load_obstacle(name, regclass, text) is
    'Why a load in this mode could not write the target, or make it if it is null; null if it can.';
