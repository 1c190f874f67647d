-- What stands in the way of a change of a target's columns: PostgreSQL would refuse it.

create or replace function pgpipe_internal.descendants(target regclass)
    returns table (relation oid)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with recursive tree as (
        select descendants.target::oid as relation
        union
        select link.inhrelid from tree
          join pg_catalog.pg_inherits link on link.inhparent = tree.relation
    )
    select tree.relation from tree
$$;
comment on function pgpipe_internal.descendants(regclass) is
    'A table with its partitions and child tables, and theirs.';

create or replace function pgpipe_internal.names_column(class oid, object oid)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case seen.relkind when 'v' then format('the view %s', seen.oid::regclass)
                             when 'm' then format('the materialized view %s', seen.oid::regclass)
           else format('the rule %I of %s', rule.rulename, seen.oid::regclass) end
      from pg_catalog.pg_rewrite rule
      join pg_catalog.pg_class seen on seen.oid = rule.ev_class
     where class = 'pg_catalog.pg_rewrite'::regclass and rule.oid = object
    union all
    select format('the generated column %I', made.attname)
      from pg_catalog.pg_attrdef value
      join pg_catalog.pg_attribute made
        on made.attrelid = value.adrelid and made.attnum = value.adnum
     where class = 'pg_catalog.pg_attrdef'::regclass and value.oid = object
       and made.attgenerated <> ''
    union all
    select format('the policy %I', rule.polname) from pg_catalog.pg_policy rule
     where class = 'pg_catalog.pg_policy'::regclass and rule.oid = object
    union all
    select format('the trigger %I', fired.tgname) from pg_catalog.pg_trigger fired
     where class = 'pg_catalog.pg_trigger'::regclass and fired.oid = object
       and not fired.tgisinternal
    union all
    select format('the function %s', object::regprocedure)
     where class = 'pg_catalog.pg_proc'::regclass
    union all
    select format('the publication %I', sent.pubname)
      from pg_catalog.pg_publication_rel piece
      join pg_catalog.pg_publication sent on sent.oid = piece.prpubid
     where class = 'pg_catalog.pg_publication_rel'::regclass and piece.oid = object
$$;
comment on function pgpipe_internal.names_column(oid, oid) is
    'What an object is, by class and oid, whose definition names a column, so that the column '
    'cannot get another type. Null for what PostgreSQL changes along.';

create or replace function pgpipe_internal.row_type_users(relation oid)
    returns setof text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('the column %I of %s', user_of.attname, user_of.attrelid::regclass)
      from pg_catalog.pg_class class
      join pg_catalog.pg_type row_type on row_type.oid = class.reltype
      join pg_catalog.pg_depend link
        on link.refclassid = 'pg_catalog.pg_type'::regclass
       and link.refobjid in (row_type.oid, row_type.typarray)
       and link.classid = 'pg_catalog.pg_class'::regclass and link.objsubid > 0
      join pg_catalog.pg_attribute user_of
        on user_of.attrelid = link.objid and user_of.attnum = link.objsubid
      join pg_catalog.pg_class holder on holder.oid = user_of.attrelid
       and holder.relkind in ('r', 'm', 'p')
     where class.oid = relation
$$;
comment on function pgpipe_internal.row_type_users(oid) is
    'The columns of other tables that have the type of a table''s rows.';

create or replace function pgpipe_internal.column_dependents(target regclass)
    returns table (column_name name, dependent text)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with part as (
        select item.attrelid, item.attnum, item.attname, item.attinhcount
          from pgpipe_internal.descendants(target) tree
          join pg_catalog.pg_attribute item
            on item.attrelid = tree.relation and item.attnum > 0 and not item.attisdropped
    )
    select part.attname, known.dependent
      from part
      join pg_catalog.pg_depend link
        on link.refclassid = 'pg_catalog.pg_class'::regclass and link.refobjid = part.attrelid
       and link.refobjsubid = part.attnum
       and link.classid <> all ('{pg_class,pg_constraint}'::regclass[])
     cross join lateral pgpipe_internal.names_column(link.classid, link.objid) known (dependent)
     where known.dependent is not null
    union
    select part.attname, format('the partition key of %s', part.attrelid::regclass)
      from part
      join pg_catalog.pg_depend link
        on link.classid = 'pg_catalog.pg_class'::regclass and link.objid = part.attrelid
       and link.objsubid = part.attnum and link.refclassid = link.classid
       and link.refobjid = part.attrelid and link.refobjsubid = 0 and link.deptype = 'i'
    union
    select part.attname, format('%s, from which it is inherited', link.inhparent::regclass)
      from part join pg_catalog.pg_inherits link on link.inhrelid = part.attrelid
     where part.attrelid = target and part.attinhcount > 0
    union
    select part.attname, known.dependent
      from part cross join lateral pgpipe_internal.row_type_users(part.attrelid) known (dependent)
     order by 1, 2
$$;
comment on function pgpipe_internal.column_dependents(regclass) is
    'What forbids another type for a column of a target or of its partitions: views, rules, '
    'generated columns, policies, triggers, functions, publications, partition keys, parents.';

create or replace function pgpipe_internal.shape_owner(target regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case when class.reloftype <> 0
                then format('it is a table of the type %s', class.reloftype::regtype)
                when class.relispartition
                then format('it is a partition of %s', link.inhparent::regclass) end
      from pg_catalog.pg_class class
      left join pg_catalog.pg_inherits link on link.inhrelid = class.oid
     where class.oid = target
     limit 1
$$;
comment on function pgpipe_internal.shape_owner(regclass) is
    'Why a target can get no column: it has its columns from elsewhere. Null if it can get one.';
