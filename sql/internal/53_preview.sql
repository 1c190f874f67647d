-- Previews: what a load would change, compared without a word to the target. The caller rolls
-- back what this makes.

create or replace function pgpipe_internal.as_evolved(
    target regclass, stage regclass, widened jsonb, added jsonb)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    seen text := format('pgpipe_staging.%I', 'pgpipe_seen_' || stage::oid);
begin
    if widened = '[]' and added = '[]' then
        return target;
    end if;
    execute format(
        'create view %s as select %s%s from %s target', seen,
        (select string_agg(format(
                    case when change.type is null then 'target.%I'
                         when pgpipe_internal.is_untyped(target, item.attnum)
                         then 'target.%I::text::%s as %1$I'
                         else 'target.%I::%s as %1$I' end, item.attname, change.type), ', '
                    order by item.attnum)
           from pg_catalog.pg_attribute item
           left join jsonb_to_recordset(widened) change (name name, type text)
             on change.name = item.attname
          where item.attrelid = target and item.attnum > 0 and not item.attisdropped),
        (select string_agg(format(', null::%s as %I', change.type, change.name), '')
           from jsonb_to_recordset(added) change (name name, type text)), target);
    return seen::regclass;
end
$$;
comment on function pgpipe_internal.as_evolved(regclass, regclass, jsonb, jsonb) is
    'The target; if its columns change, a view of it with the types that they will have, and with '
    'the columns that are added. Readers and writers of the target go on.';

drop function if exists pgpipe_internal.preview_merge(
    regclass, regclass, regclass, name[], name[], text, jsonb, jsonb, jsonb);

create or replace function pgpipe_internal.preview_merge(
    target regclass, seen regclass, stage regclass, columns name[], key name[], mode text,
    rejected jsonb, limits jsonb, changes jsonb, deleted_column name,
    out inserted bigint, out updated bigint, out deleted bigint, out unchanged bigint,
    out broken jsonb)
    volatile  set search_path = pg_catalog, pg_temp  set work_mem = '128MB'
    set default_statistics_target = 10  set parallel_tuple_cost = 0  language plpgsql
as $$
declare
    counted record;
begin
    counted := pgpipe_internal.compare_staged(target, seen, stage, columns, key, mode, rejected,
                                              changes, deleted_column);
    if changes <> '{}' then
        counted.held := pgpipe_internal.held_by(target, counted.deletes, limits,
                                                deleted_column);
    end if;
    inserted := counted.inserts;
    updated := counted.updates;
    deleted := counted.deletes;
    unchanged := counted.staged - counted.inserts - counted.updates;
    broken := coalesce((
        select jsonb_agg(jsonb_build_array(listed.rule, listed.message))
          from pgpipe_internal.broken_limits(
               target, pgpipe_internal.difference_name(stage), key, limits, counted) listed), '[]');
end
$$;
comment on function pgpipe_internal.preview_merge(
    regclass, regclass, regclass, name[], name[], text, jsonb, jsonb, jsonb, name) is
    'Counts what merge would do, and writes nothing to the target. `broken` is [[limit, message]] '
    'of the limits that refuse it. `seen` is what as_evolved returned.';

create or replace function pgpipe_internal.sample_difference(
    seen regclass, stage regclass, columns name[], key name[], change text, max_rows int)
    returns table (key_values json, old_values json, new_values json)
    stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    value text := 'case when pg_catalog.num_nulls(%s.%I) operator(pg_catalog.=) 0 '
                  'then pg_catalog.left(pg_catalog.concat(%1$s.%2$I), 200) end';
begin
    return query execute pgpipe_internal.render('merge_sample', jsonb_build_object(
        'difference', pgpipe_internal.difference_name(stage), 'target', seen, 'stage', stage,
        'changes', quote_literal(case change when 'insert' then '{insert,revive}'
                                 else array[change]::text end), 'max_rows', max_rows,
        'keys', pgpipe_internal.number_list(key, 'difference'),
        'key_values', (select string_agg(format('%L, pg_catalog.concat(difference.key_%s)',
                                                part.name, part.place), ', ' order by part.place)
                         from unnest(key) with ordinality part (name, place)),
        'values', (select string_agg(format(', (%L, %s, %s, %s)', item.name,
                       format(value, 'target', item.name), format(value, 'staged', item.name),
                       pgpipe_internal.differ(seen, array[item.name], 'target', 'staged')),
                       E'\n' order by item.place)
                     from unnest(pgpipe_internal.written_columns(seen, columns, key))
                          with ordinality item (name, place)),
        'target_key', pgpipe_internal.same_numbered(seen, key, 'difference', 'target'),
        'staged_key', pgpipe_internal.same_numbered(seen, key, 'difference', 'staged')));
end
$$;
comment on function pgpipe_internal.sample_difference(
    regclass, regclass, name[], name[], text, int) is
    'Some rows with one change: their key, and what differs, as it is and as it would become. '
    'Values are texts of up to 200 characters.';
