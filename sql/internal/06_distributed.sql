-- Distributed tables: those that the extension Citus spreads over servers. The catalogue alone says
-- which they are. A database without Citus is asked none of this.

create or replace function pgpipe_internal.distribution_column(target regclass)
    returns name  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found name;
begin
    if to_regclass('pg_catalog.pg_dist_partition') is not null then
        execute 'select pg_catalog.column_to_column_name(part.logicalrelid, part.partkey) '
                'from pg_catalog.pg_dist_partition part '
                'where part.logicalrelid = $1 and part.partmethod = ''h'''
           into found using target;
    end if;
    return found;
end
$$;
comment on function pgpipe_internal.distribution_column(regclass) is
    'The column by whose values a table is spread over servers; null for a table on one server.';

create or replace function pgpipe_internal.is_distributed(target regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$ select pgpipe_internal.distribution_column(target) is not null $$;
comment on function pgpipe_internal.is_distributed(regclass) is
    'Whether a table is spread over servers.';

create or replace function pgpipe_internal.propagate(wanted boolean)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if to_regclass('pg_catalog.pg_dist_partition') is not null then
        perform set_config('citus.enable_ddl_propagation', wanted::text, true);
    end if;
end
$$;
comment on function pgpipe_internal.propagate(boolean) is
    'Whether Citus makes functions, from here on in this transaction, on its other servers too. '
    'Nobody calls rendered ones there, and the role of the queue may not log in there.';

create or replace function pgpipe_internal.refuse_distributed(target regclass, what text, hint text)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.is_distributed(target) then
        raise exception '% is distributed, and % does not work on a distributed table',
            target, what using errcode = 'PP022', hint = hint;
    end if;
end
$$;
comment on function pgpipe_internal.refuse_distributed(regclass, text, text) is
    'Raises PP022 if the table is distributed: what is asked for does not work there.';

create or replace function pgpipe_internal.differing_nodes()
    returns table (node text, settings text)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- Settings that a function makes do not reach the other servers, and texts and hashes are made
    -- there.
    return query execute
        'select format(''%s:%s'', reply.nodename, reply.nodeport), reply.result '
        'from pg_catalog.run_command_on_workers($1) reply '
        'where not reply.success or reply.result <> '''''
        using $sql$
            select coalesce(string_agg(format('%s = %s', known.name, known.setting), ', '
                                       order by known.name), '')
              from pg_catalog.pg_settings known
             where known.name = 'TimeZone'
                   and known.setting not in ('UTC', 'Etc/UTC', 'GMT', 'Etc/GMT')
                or known.name = 'DateStyle' and known.setting not like 'ISO%'
                or known.name = 'IntervalStyle' and known.setting <> 'postgres'
                or known.name = 'bytea_output' and known.setting <> 'hex'
                or known.name = 'extra_float_digits' and known.setting <> '1'
        $sql$;
end
$$;
comment on function pgpipe_internal.differing_nodes() is
    'The servers that would write a text otherwise than pgpipe does, and the settings that make '
    'them. Needs Citus.';

create or replace function pgpipe_internal.unfinished_nodes()
    returns table (node text, transactions bigint)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    return query execute
        'select format(''%s:%s'', reply.nodename, reply.nodeport), reply.result::bigint '
        'from pg_catalog.run_command_on_workers($1) reply '
        'where reply.success and reply.result::bigint > 0'
        using $sql$
            select count(*) from pg_catalog.pg_prepared_xacts held
             where held.database = current_database()
               and held.prepared < now() - interval '1 minute'
        $sql$;
end
$$;
comment on function pgpipe_internal.unfinished_nodes() is
    'The servers on which transactions of this database wait, prepared, for more than a minute: '
    'the server that began them has not said how they end. Needs Citus.';

create or replace function pgpipe_internal.require_nodes()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    other record;
begin
    if to_regclass('pg_catalog.pg_dist_partition') is null then
        raise exception 'distribute needs the extension citus, which this database lacks'
            using errcode = 'PP022', hint = 'Install it, run `pgpipe migrate`, then load again; or '
                                            'take `distribute` out of the configuration.';
    elsif not pgpipe_internal.has_fence() then
        raise exception 'this database got the extension citus after pgpipe, which does not know it'
            using errcode = 'PP022', hint = 'Run `pgpipe migrate`.';
    end if;
    select * into other from pgpipe_internal.differing_nodes() limit 1;
    if found then
        raise exception 'the server % would write texts otherwise than pgpipe does: %', other.node,
            other.settings using errcode = 'PP022', hint = format(
                'Run: alter database %I set timezone = ''UTC'', and so for DateStyle (ISO), '
                'IntervalStyle (postgres), bytea_output (hex) and extra_float_digits (1).',
                current_database());
    end if;
end
$$;
comment on function pgpipe_internal.require_nodes() is
    'Raises PP022 without Citus, or if a server of it would write a text otherwise.';

create or replace function pgpipe_internal.has_fence()
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found boolean := false;
begin
    if to_regclass('pg_catalog.pg_dist_partition') is not null then
        execute 'select exists (select from pg_catalog.pg_dist_partition part '
                'where part.logicalrelid = ''pgpipe.fence''::pg_catalog.regclass)' into found;
    end if;
    return found;
end
$$;
comment on function pgpipe_internal.has_fence() is
    'Whether Citus knows the fence.';

create or replace function pgpipe_internal.raise_fence()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if to_regclass('pg_catalog.pg_dist_partition') is not null
       and not pgpipe_internal.has_fence() then
        execute 'select pg_catalog.citus_add_local_table_to_metadata(''pgpipe.fence'')';
    end if;
end
$$;
comment on function pgpipe_internal.raise_fence() is
    'Lets Citus know the fence. Twice is a no-op, and so is a database without Citus.';

create or replace function pgpipe_internal.commit_together()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.fence;  -- it is empty: this is said to Citus
end
$$;
comment on function pgpipe_internal.commit_together() is
    'Makes this transaction one that commits in two phases, if it also writes another server. Else '
    'rows there could stay without what belongs to them here.';

create or replace function pgpipe_internal.after_create(
    made regclass, column_name name, beside regclass default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if beside is null then
        perform pgpipe_internal.require_nodes();
    end if;
    perform pgpipe_internal.require_columns(made, array[column_name]);
    -- The name with its schema, whatever search_path the session has.
    execute 'select pg_catalog.create_distributed_table($1, $2, colocate_with => $3)'
      using made, column_name::text, coalesce(
                (select format('%I.%I', home.nspname, class.relname)
                   from pg_catalog.pg_class class
                   join pg_catalog.pg_namespace home on home.oid = class.relnamespace
                  where class.oid = beside), 'default');
end
$$;
comment on function pgpipe_internal.after_create(regclass, name, regclass) is
    'Spreads an empty table over the servers by the values of a column, so that its rows lie with '
    'those of `beside` that have the same value. Raises PP022 where this cannot be.';

create or replace function pgpipe_internal.distribute_beside(made regclass, target regclass)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    column_name name := pgpipe_internal.distribution_column(target);
begin
    if column_name is not null then
        perform pgpipe_internal.after_create(made, column_name, target);
    end if;
end
$$;
comment on function pgpipe_internal.distribute_beside(regclass, regclass) is
    'Spreads an empty table as the target is, if that is distributed.';

create or replace function pgpipe_internal.is_emptied(target regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    found boolean := true;
begin
    if pgpipe_internal.is_distributed(target) then
        execute format('select exists (select 1 from %s)', target) into found;
    end if;
    return not found;
end
$$;
comment on function pgpipe_internal.is_emptied(regclass) is
    'Whether a table is distributed and holds no row: no trigger sees its TRUNCATE, so its ledger '
    'holds no file then.';
