-- Tombstones: keys that change files deleted, so that an older change does not bring them back.
-- They hold values as jsonb; the settings that their texts depend on are pinned.

create or replace function pgpipe_internal.drop_late(stage regclass, key name[], changes jsonb)
    returns bigint
    volatile strict  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1  language plpgsql
as $$
declare
    late bigint;
    columns name[] := pgpipe_internal.order_columns(changes);
begin
    if not exists (select from pgpipe.tombstone held
                    where held.schema = changes ->> 'schema'
                      and held.entity = changes ->> 'entity') then
        return 0;
    end if;
    execute pgpipe_internal.render('merge_changes_late', jsonb_build_object(
        'stage', stage, 'schema', quote_literal(changes ->> 'schema'),
        'entity', quote_literal(changes ->> 'entity'),
        'values', (select string_agg(format('%s as %I', pgpipe_internal.key_value(
                              stage, part.name, part.held), part.name), ', ')
                     from (select name, 'held.key' from unnest(key) name
                            union all
                           select name, 'held.position' from unnest(columns) name
                            where name <> all (key)) part (name, held)),
        'same_key', pgpipe_internal.same_key(stage, key, 'tombstone', 'staged'),
        'older', pgpipe_internal.precedes(
            stage, columns, 'staged', 'tombstone',
            format('staged.pgpipe_part operator(pg_catalog.<) %s', changes ->> 'ties_from'))));
    get diagnostics late = row_count;
    return late;
end
$$;
comment on function pgpipe_internal.drop_late(regclass, name[], jsonb) is
    'Drops staged changes of rows that a later change deleted. Returns how many these were.';

create or replace function pgpipe_internal.keep_tombstones(
    stage regclass, key name[], changes jsonb)
    returns void
    volatile strict  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1  language plpgsql
as $$
declare
    columns name[] := pgpipe_internal.order_columns(changes);
    names jsonb := jsonb_build_object(
        'stage', stage, 'schema', quote_literal(changes ->> 'schema'),
        'entity', quote_literal(changes ->> 'entity'));
begin
    if columns = '{}' or changes ->> 'delete' is null then
        return;
    end if;
    delete from pgpipe.tombstone held
     where held.schema = changes ->> 'schema' and held.entity = changes ->> 'entity'
       and held.date < (changes ->> 'newest')::date - 90;
    if exists (select from pgpipe.tombstone held
                where held.schema = changes ->> 'schema'
                  and held.entity = changes ->> 'entity') then
        execute pgpipe_internal.render('merge_changes_raise', names || jsonb_build_object(
            'same_key', pgpipe_internal.key_match(stage, key, 'staged', 'held.key')));
    end if;
    execute pgpipe_internal.render('merge_changes_bury', names || jsonb_build_object(
        'key', pgpipe_internal.key_json(stage, key, 'staged'),
        'position', pgpipe_internal.key_json(stage, columns, 'staged'),
        'date', quote_literal(changes ->> 'date')));
end
$$;
comment on function pgpipe_internal.keep_tombstones(regclass, name[], jsonb) is
    'Writes down which keys the staged changes delete. Forgets those that they bring back, and '
    'those of files from more than 90 days ago.';
