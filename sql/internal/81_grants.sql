-- Grants: each role gets what its part needs and no more.

create or replace function pgpipe_internal.grant_target(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
    class pg_catalog.pg_class;
    roles boolean := pgpipe_internal.roles_in_use();
begin
    select * into class from pg_catalog.pg_class known where known.oid = target;
    if not pg_has_role(class.relowner, 'usage') then
        return;
    end if;
    for e in
        select * from pgpipe.embedding declared
         where declared.target = grant_target.target
           and pgpipe_internal.is_store(declared.store, declared)
    loop
        perform pgpipe_internal.grant_locks(target, e.key_columns[1])
          where not pgpipe_internal.is_distributed(target);  -- there nobody locks a row
        if roles then
            perform pgpipe_internal.grant_store(e, class.relrowsecurity);
        end if;
    end loop;
    if roles then
        execute format('grant select on %s to pgpipe_embedder, pgpipe_reader', target);
        if has_schema_privilege(class.relnamespace, 'usage with grant option') then
            execute format('grant usage on schema %s to pgpipe_embedder, pgpipe_reader',
                           class.relnamespace::regnamespace);
        end if;
    end if;
end
$$;
comment on function pgpipe_internal.grant_target(regclass) is
    'Lets the functions with their owner''s rights lock rows of a target. If this database uses '
    'the roles, the embedder and the reader may read it. The embedder may write its stores and '
    'filter tables, the reader read them. It does nothing if the caller does not own the target. '
    'It touches only stores and filter tables that the catalogue shows to be such.';

create or replace function pgpipe_internal.grant_locks(target regclass, key_column name)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    queue text := pgpipe_internal.queue_role();
    schema regnamespace := (select class.relnamespace from pg_catalog.pg_class class
                             where class.oid = target);
begin
    -- Enough to lock a row by its place, and no more.
    execute format('grant select (ctid, tableoid), update (%I) on %s to %s', key_column, target,
                   queue);
    if has_schema_privilege(schema, 'usage with grant option') then
        execute format('grant usage on schema %s to %s', schema, queue);
    end if;
end
$$;
comment on function pgpipe_internal.grant_locks(regclass, name) is
    'Lets the functions with their owner''s rights lock rows of a target.';

create or replace function pgpipe_internal.grant_store(e pgpipe.embedding, restricted boolean)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format('grant select, insert, update, delete on %s to pgpipe_embedder', e.store);
    execute format('grant select on %s to pgpipe_reader', e.store);
    if pgpipe_internal.is_filter_table(e.filter_table, e) then
        execute format('grant select, insert, update on %s to pgpipe_embedder', e.filter_table);
        -- A reader whom policies restrict is answered by the target itself; what the columns hold
        -- is not for him.
        execute format(case when restricted then 'revoke select on %s from pgpipe_reader'
                            else 'grant select on %s to pgpipe_reader' end, e.filter_table);
    end if;
end
$$;
comment on function pgpipe_internal.grant_store(pgpipe.embedding, boolean) is
    'Grants the embedder and the reader their part of a store and its filter table. `restricted`: '
    'the target has policies.';

create or replace function pgpipe_internal.grant_targets()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    part record;
begin
    for part in
        select class.oid::regclass as target, class.relowner as owner,
               class.oid in (select e.target from pgpipe.embedding e) as embedded
          from pg_catalog.pg_class class
         where class.oid in (select search.target from pgpipe.search search
                             union all
                             select e.target from pgpipe.embedding e
                             union all
                             select keeper.tgrelid from pg_catalog.pg_trigger keeper
                              where keeper.tgfoid = 'pgpipe_internal.forget_files'::regproc
                             union all
                             select marker.conrelid from pg_catalog.pg_constraint marker
                              where marker.conname = 'pgpipe_ledger' and marker.contype = 'c')
    loop
        begin
            if pg_has_role(part.owner, 'usage') then  -- of an earlier version
                perform pgpipe_internal.repair_triggers(part.target) where part.embedded;
                perform pgpipe_internal.renew_search_keeper(part.target);
            end if;
            perform pgpipe_internal.grant_target(part.target);
        exception when others then  -- one broken table does not stop the others
            raise warning '% is left as it is: %', part.target, sqlerrm
                using hint = 'Mend the table, or drop what is declared about it; then '
                             '`pgpipe reconcile`.';
        end;
    end loop;
end
$$;
comment on function pgpipe_internal.grant_targets() is
    'Grants on all targets that the caller owns, and brings their triggers up to date. Warns of '
    'one where that fails.';

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
            execute format('grant usage on schema %I to pgpipe_loader, pgpipe_embedder, '
                           'pgpipe_reader', schema);
        end if;
    end loop;
    if has_schema_privilege(targets, 'create with grant option') then
        execute format('grant create on schema %I to pgpipe_loader', targets);
    end if;
end
$$;
comment on function pgpipe_internal.grant_schemas(name) is
    'Lets the three roles into pgpipe, the schema of the targets and that of pgvector. The loader '
    'may create tables among the targets.';

create or replace function pgpipe_internal.grant_relation(relation regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    name name;
    only_read boolean;
begin
    if relation::text ~ '^pgpipe\.token(_|$)' then
        perform pgpipe_internal.grant_tokens(relation);
        return;
    end if;
    select class.relname, class.relkind = 'v' or class.relname in ('sql_file', 'template')
      into name, only_read from pg_catalog.pg_class class where class.oid = relation;
    execute format('grant %s on %s to pgpipe_loader',
        case when only_read then 'select'
             when name in ('search', 'embedding') then 'select, insert, delete'
             else 'select, insert, update, delete' end, relation);
    if only_read or name in ('embedding', 'asked') then  -- of the log only what it asked itself
        execute format('grant select on %s to pgpipe_embedder', relation);
    elsif name in ('job', 'finished', 'sweep', 'reconciliation', 'missed', 'trouble',
                  'index_health') then
        execute format('grant select, insert, update, delete on %s to pgpipe_embedder', relation);
    elsif name = 'fence' then
        execute format('grant select, delete on %s to pgpipe_embedder', relation);
    end if;
    if name in ('job', 'rejected_row', 'reconciliation', 'tombstone') then  -- what rows hold
        execute format('revoke all on %s from pgpipe_reader', relation);
    else
        execute format('grant select on %s to pgpipe_reader', relation);
    end if;
end
$$;
comment on function pgpipe_internal.grant_relation(regclass) is
    'Grants the loader, the embedder and the reader their part of a table or view of pgpipe.';

create or replace function pgpipe_internal.grant_tokens(relation regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    rights text := case relation when 'pgpipe.token'::regclass then 'select, update (used_on)'
                                 when 'pgpipe.token_bucket'::regclass
                                 then 'select, insert, update' else 'select' end;
begin
    execute format('revoke all on %s from pgpipe_loader, pgpipe_embedder, pgpipe_reader', relation);
    if to_regrole('pgpipe_api') is not null then  -- a database of before has four roles
        execute format('grant %s on %s to pgpipe_api', rights, relation);
    end if;
end
$$;
comment on function pgpipe_internal.grant_tokens(regclass) is
    'Grants pgpipe_api its part of what the search API keeps of its tokens, and nobody else.';

create or replace function pgpipe_internal.grant_roles(targets name default 'public')
    returns setof text  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.own_definers();
    if not pgpipe_internal.roles_in_use() then
        perform pgpipe_internal.grant_targets();
        return;
    end if;
    return query select pgpipe_internal.own_parts();
    perform pgpipe_internal.grant_schemas(targets);
    perform pgpipe_internal.grant_relation(class.oid) from pg_catalog.pg_class class
      where class.relnamespace = 'pgpipe'::regnamespace and class.relkind in ('r', 'p', 'v')
        and class.relname !~ '^_?yoyo';
    -- By column: where vectors lie, and of what, is written once.
    revoke update on pgpipe.embedding, pgpipe.search from pgpipe_loader;
    grant update (active, paused_at, max_attempts, filters, filter_table, filter_error,
                  index_precision)
       on pgpipe.embedding to pgpipe_loader;
    grant update (documents, mean_length, refreshed_at)
       on pgpipe.search to pgpipe_loader, pgpipe_embedder;
    grant update (title, k1, b, occurrences, text_weight, vector_weight)
       on pgpipe.search to pgpipe_loader;
    grant select on pgpipe.search to pgpipe_embedder;
    grant select, insert, delete on pgpipe.lexeme, pgpipe.word to pgpipe_embedder;
end
$$;
comment on function pgpipe_internal.grant_roles(name) is
    'Takes functions with their owner''s rights from PUBLIC. If this database uses the roles, it '
    'grants each what its part needs of what is there now. `pgpipe migrate` ends with it.';
