-- Locks with the rights of the role of the queue: a worker may not write a target, and a lock asks
-- for that right. Rows are found by their place, so that no operator of a key's type runs.

create or replace function pgpipe_internal.is_code(link pg_catalog.pg_depend, relation regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select (link.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
            -- A policy that queries another table plans that too.
            or link.classid = 'pg_policy'::regclass and link.refclassid = 'pg_class'::regclass
               and link.refobjid <> relation)
       and not exists (
           select from pg_catalog.pg_depend member
            where member.classid = link.refclassid and member.objid = link.refobjid
              and member.deptype = 'e')
$$;
comment on function pgpipe_internal.is_code(pg_catalog.pg_depend, regclass) is
    'Whether a dependency is on a function, an operator or another table, and not an extension''s.';

create or replace function pgpipe_internal.runs_code(relation regclass)
    returns boolean  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- Who plans a query computes the constants in the expressions of the indexes, CHECKs,
    -- statistics and policies.
    return (
        with recursive part as materialized (
            select runs_code.relation::oid as oid
            union
            select child.inhrelid from part
              join pg_catalog.pg_inherits child on child.inhparent = part.oid
        ), item (class, oid) as (
            select 'pg_class'::regclass, part.oid from part
            union all
            select 'pg_class'::regclass, entry.indexrelid
              from part join pg_catalog.pg_index entry on entry.indrelid = part.oid
            union all
            select 'pg_constraint'::regclass, rule.oid
              from part join pg_catalog.pg_constraint rule
                on rule.conrelid = part.oid and rule.contype = 'c'
            union all
            select 'pg_statistic_ext'::regclass, statistic.oid
              from part join pg_catalog.pg_statistic_ext statistic on statistic.stxrelid = part.oid
            union all
            select 'pg_policy'::regclass, policy.oid from pg_catalog.pg_policy policy
             where policy.polrelid = relation and row_security_active(relation)
        )
        select exists (select from part join pg_catalog.pg_class class on class.oid = part.oid
                        where class.relkind = 'f')
            or exists (
                   select from item
                    -- By the index: a database has far more dependencies than these.
                    cross join lateral (
                          select link as found from pg_catalog.pg_depend link
                           where link.classid = item.class and link.objid = item.oid
                             and link.refobjid >= 16384 offset 0) link
                    where pgpipe_internal.is_code(link.found, relation)));
end
$$;
comment on function pgpipe_internal.runs_code(regclass) is
    'Whether a query of the table runs a user''s function before it reads a row. That can be in '
    'an index, a CHECK, statistics, the bounds of partitions, a policy that holds for the caller, '
    'or a foreign partition.';

create or replace function pgpipe_internal.require_lockable(embedding_id int, definition text)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = require_lockable.embedding_id;
    if pgpipe_internal.rendered_definition(e) <> definition then
        raise exception 'the functions of the embedding % of % are of an earlier definition',
            quote_ident(e.name), e.target using errcode = 'PP021', hint = 'Run `pgpipe reconcile`.';
    elsif not pgpipe_internal.sees_all_rows(e.target, current_user::regrole, 'rw') then
        raise exception 'the embedding % of % is left alone', quote_ident(e.name), e.target
            using errcode = 'PP012',
            hint = format('Row level security hides rows from %1$I: alter role %1$I bypassrls; or: '
                          'create policy pgpipe_lock on %2$s to %1$I using (true)',
                          current_user, e.target);
    elsif (select class.relkind not in ('r', 'p') from pg_catalog.pg_class class
            where class.oid = e.target)
          or pgpipe_internal.runs_code(e.target) then
        raise exception 'functions in the indexes or constraints of % may only run as the worker',
            e.target using errcode = '42501',
            hint = format('Grant it UPDATE on a column of the key: grant update (%I) on %s to …',
                          e.key_columns[1], e.target);
    end if;
end
$$;
comment on function pgpipe_internal.require_lockable(int, text) is
    'Raises PP012 or 42501 unless rows of a target can be locked without its policies, and '
    'without a function of a user''s. Raises PP021 if the function that locks them is of an '
    'earlier definition.';
