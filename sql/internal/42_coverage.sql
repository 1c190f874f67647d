-- Coverage: what an embedding's vectors depend on, and why it cannot be said that all of them are
-- of the present rows. All of it is read from the catalogue and counted in the store: nothing here
-- runs SQL that somebody declared.

create or replace function pgpipe_internal.parts(target regclass)
    returns setof oid  stable strict rows 10  set search_path = pg_catalog, pg_temp  language sql
as $$
    with recursive part as (
        select parts.target::oid as oid
        union
        select child.inhrelid
          from part join pg_catalog.pg_inherits child on child.inhparent = part.oid
    )
    select part.oid from part
$$;
comment on function pgpipe_internal.parts(regclass) is
    'A table, its partitions and child tables, and theirs.';

create or replace function pgpipe_internal.target_rows(target regclass)
    returns bigint  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select sum(greatest(class.reltuples, pg_catalog.pg_stat_get_live_tuples(class.oid), 0))::bigint
      from pgpipe_internal.parts(target_rows.target) part
      join pg_catalog.pg_class class on class.oid = part
     where class.relkind <> 'p'
$$;
comment on function pgpipe_internal.target_rows(regclass) is
    'About how many rows a table has, by the statistics of the server.';

create or replace function pgpipe_internal.sampled_percent(relation regclass, sample int)
    returns double precision
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(least(100, 150.0 * sample / nullif(greatest(class.reltuples, 0), 0)), 100)
      from pg_catalog.pg_class class where class.oid = relation
$$;
comment on function pgpipe_internal.sampled_percent(regclass, int) is
    'What percentage of a table holds about `sample` rows; 100 if it was never analyzed. It is a '
    'half more, so that chance seldom makes the sample smaller.';

create or replace function pgpipe_internal.stored_rows(e pgpipe.embedding)
    returns bigint  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    rows bigint;
begin
    -- A store of more than 64 MB is not counted: the index of its first chunks knows how many rows
    -- it holds.
    if pg_catalog.pg_relation_size(e.store) > 64 << 20 then
        select (class.reltuples / greatest(class.relpages, 1)
                * pg_catalog.pg_relation_size(class.oid)
                / current_setting('block_size')::int)::bigint into rows
          from pg_catalog.pg_index entry
          join pg_catalog.pg_class class on class.oid = entry.indexrelid
         where entry.indrelid = e.store and entry.indpred is not null and class.reltuples > 0
         limit 1;
    end if;
    if rows is null and pg_catalog.has_table_privilege(e.store, 'select')
       and not row_security_active(e.store)
       -- Its owner may have altered it.
       and pgpipe_internal.is_store(e.store, e) and not pgpipe_internal.runs_code(e.store) then
        execute format('select count(*) from %s where chunk = 0', e.store) into rows;
    end if;
    return rows;
end
$$;
comment on function pgpipe_internal.stored_rows(pgpipe.embedding) is
    'How many rows have vectors: counted, or above 64 MB an estimate. Null without the right to '
    'read the store, and if its owner altered it: then counting could run his code.';

create or replace function pgpipe_internal.columns_definition(e pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with item as (
        select item.attnum, formula.oid as formula,
               concat_ws(' ', item.attnum, quote_ident(item.attname),
                         pg_catalog.format_type(item.atttypid, item.atttypmod), item.attcollation,
                         item.attgenerated, pg_catalog.pg_get_expr(formula.adbin, formula.adrelid),
                         (select string_agg(quote_literal(label.enumlabel), ','
                                            order by label.enumsortorder)
                            from pg_catalog.pg_enum label
                           where label.enumtypid in (item.atttypid, kind.typelem,
                                                     kind.typbasetype))) as text
          from pg_catalog.pg_attribute item
          join pg_catalog.pg_type kind on kind.oid = item.atttypid
          left join pg_catalog.pg_attrdef formula
                 on formula.adrelid = item.attrelid and formula.adnum = item.attnum
                and item.attgenerated <> ''
         where item.attrelid = e.target and item.attname in (select pgpipe_internal.dependencies(e))
    ), routine as (  -- that a generated column or the condition calls
        select routine.oid,
               md5(concat(routine.prosrc, routine.prosqlbody::text, routine.probin)) as text
          from pg_catalog.pg_proc routine
         where routine.pronamespace <> 'pg_catalog'::regnamespace
           and (strpos(e.condition, quote_ident(routine.proname) || '(') > 0
                or routine.oid in (select link.refobjid
                                     from item join pg_catalog.pg_depend link
                                       on link.classid = 'pg_catalog.pg_attrdef'::regclass
                                      and link.objid = item.formula
                                      and link.refclassid = 'pg_catalog.pg_proc'::regclass))
    )
    select md5(concat_ws(
               E'\n', (select string_agg(item.text, E'\n' order by item.attnum) from item),
               (select string_agg(routine.text, E'\n' order by routine.oid) from routine)))
$$;
comment on function pgpipe_internal.columns_definition(pgpipe.embedding) is
    'A hash of the definitions of an embedding''s columns, with what they and the condition call.';

create or replace function pgpipe_internal.files_definition(e pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A partition that went and came back has another tie, whatever was done to it meanwhile.
    select md5(string_agg(concat_ws(' ', class.oid, class.relfilenode, tie.xmin), ','
                          order by class.oid, tie.inhparent))
      from pg_catalog.pg_class class
      left join pg_catalog.pg_inherits tie on tie.inhrelid = class.oid
     where class.oid = e.store or class.oid in (select pgpipe_internal.parts(e.target))
$$;
comment on function pgpipe_internal.files_definition(pgpipe.embedding) is
    'A hash of the files of an embedding''s store, of its table and of the partitions of that. It '
    'changes if a statement rewrites, attaches or detaches one.';

create or replace function pgpipe_internal.embedding_definition(e pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.columns_definition(e) || ' ' || pgpipe_internal.files_definition(e)
$$;
comment on function pgpipe_internal.embedding_definition(pgpipe.embedding) is
    'Two hashes of what an embedding''s vectors depend on apart from the rows: of its columns, and '
    'of the files that hold its rows and vectors.';

create or replace function pgpipe_internal.missed_doubt(reason text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case reason
           when '00000' then
               'its table was truncated: an embedder or `pgpipe reconcile` clears its vectors away'
           when '01P01' then
               'its triggers are of an earlier version: let the owner of its table run '
               '`pgpipe reconcile`'
           else format('its triggers could not read rows that were written since its table '
                       'changed (SQLSTATE %s): an embedder or `pgpipe reconcile` looks for '
                       'them', reason) end
$$;
comment on function pgpipe_internal.missed_doubt(text) is
    'What a note of pgpipe.missed says about the coverage.';

create or replace function pgpipe_internal.enabled_triggers(e pgpipe.embedding)
    returns bigint  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select count(*)
      from pg_catalog.pg_trigger watcher
      join pg_catalog.pg_proc routine on routine.oid = watcher.tgfoid
     where watcher.tgrelid = e.target and watcher.tgenabled in ('O', 'A')
       and (routine.oid in ('pgpipe_internal.enqueue_changes'::regproc,
                            'pgpipe_internal.forget_target'::regproc)
            or routine.pronamespace = 'pgpipe_target'::regnamespace
               and routine.proname in ('insert_' || e.embedding_id, 'update_' || e.embedding_id,
                                       'delete_' || e.embedding_id))
$$;
comment on function pgpipe_internal.enabled_triggers(pgpipe.embedding) is
    'How many of the four triggers of an embedding its table has, and none disabled.';

create or replace function pgpipe_internal.coverage_doubt(
    e pgpipe.embedding, swept text, missed text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case
        when lost.name is not null then
            format('%s has no column %s%s: declare the embedding again', e.target,
                   quote_ident(lost.name), case when lost.name <> all (e.key_columns || e.columns)
                   then format(', which its condition %L names', e.condition) end)
        when pgpipe_internal.key_columns(e.target) is distinct from e.key_columns then
            format('the primary key of %s is not (%s) any more: declare the embedding again',
                   e.target, pgpipe_internal.column_list(e.key_columns))
        when computed.name is not null then
            format('%s is a virtual generated column, whose values no trigger sees: name the '
                   'columns that it is computed from, or generate it STORED',
                   quote_ident(computed.name))
        when pgpipe_internal.enabled_triggers(e) < 4
             and not pgpipe_internal.is_distributed(e.target) then
            'triggers of its table are missing or disabled: `pgpipe reconcile` brings them back'
        when missed is not null then pgpipe_internal.missed_doubt(missed)
        when swept is null then
            'its rows were never compared with its vectors: '
            'an embedder or `pgpipe reconcile` does it'
        when split_part(swept, ' ', 1) <> split_part(present.definition, ' ', 1) then
            'the definition of its columns changed since its rows were last compared with its '
            'vectors: an embedder or `pgpipe reconcile` does it again'
        when swept <> present.definition then
            'its table was rewritten, or a partition came or went, since its rows were last '
            'compared with its vectors: an embedder or `pgpipe reconcile` does it again'
        end
      from (select pgpipe_internal.embedding_definition(e) as definition) present
     cross join (select pgpipe_internal.lost_column(e) as name) lost
     cross join (select min(item.attname) as name from pg_catalog.pg_attribute item
                  where item.attrelid = e.target and item.attgenerated = 'v'
                    and item.attname in (select pgpipe_internal.dependencies(e))) computed
$$;
comment on function pgpipe_internal.coverage_doubt(pgpipe.embedding, text, text) is
    'Why it cannot be said which rows of an embedding have a vector of their present text; null if '
    'it can. `swept` is its definition as of the last sweep, `missed` why a trigger could not read '
    'rows since then.';
