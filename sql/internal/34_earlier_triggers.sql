-- Earlier triggers: those of version 2 and before compose their SQL for each statement, until the owner of the target loads or
-- reconciles it: `pgpipe migrate` replaces those of its own tables.

create or replace function pgpipe_internal.watched_changes(target regclass, event text)
    returns text[]  stable strict  security definer  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A changed key is a row that went and a row that came.
    select array_agg(part.part order by e.embedding_id, part.n)
      from pgpipe.embedding e
     cross join lateral (
           select pgpipe_internal.key_json(e.target, e.key_columns, 'n') as new_key, pgpipe_internal.key_json(e.target, e.key_columns, 'o') as old_key,
                  pgpipe_internal.same_key(e.target, e.key_columns, 'n', 'o') as same,
                  pgpipe_internal.condition_on(e.condition, 'n') as new_is, pgpipe_internal.condition_on(e.condition, 'o') as old_is) s
     cross join lateral (values
           (1, e.embedding_id::text),
           (2, case event when 'delete' then format('select %s from old_rows o', s.old_key)
                          when 'update' then format('select %s from old_rows o where not exists (select from new_rows n where %s)',
                                                    s.old_key, s.same) else '' end),
           (3, case event when 'insert' then format('select %s from new_rows n where %s', s.new_key, s.new_is)
                          when 'update' then format('select %s from new_rows n left join old_rows o on %s where case '
                                                    'when o.%I is not distinct from null then true '
                                                    'when %s then not %s or %s else %5$s end',
                                                    s.new_key, s.same, e.key_columns[1], s.new_is, s.old_is,
                                                    pgpipe_internal.changed(e.columns, 'n', 'o')) else '' end)
           ) part (n, part)
     where e.target = watched_changes.target
$$;
comment on function pgpipe_internal.watched_changes(regclass, text) is
    'Of each embedding of a target: its id, and SQL text that selects the keys of the rows that an event took away, and of those that '
    'need a fresh vector. These are the arguments of the triggers. It composes text and runs none of it; open to all, for triggers '
    'that an earlier version made without arguments.';

create or replace function pgpipe_internal.enqueue_changes()
    returns trigger  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set jit = off
    language plpgsql
as $$
declare
    most constant int := 10000;  -- keys that are handed over at once
    -- A trigger of an earlier version has no arguments.
    changes text[] := case when tg_nargs > 0 then tg_argv[:] else pgpipe_internal.watched_changes(tg_relid, lower(tg_op)) end;
    first int := coalesce(array_lower(changes, 1), 0);
    keys jsonb[];
    key jsonb;
begin
    for n in first .. first + coalesce(cardinality(changes), 0) - 1 by 3 loop
        if changes[n + 1] <> '' then
            keys := '{}';
            for key in execute changes[n + 1] loop
                keys := keys || key;
                if cardinality(keys) = most then
                    perform pgpipe_internal.forget_keys(changes[n]::int, keys);
                    keys := '{}';
                end if;
            end loop;
            if keys <> '{}' then
                perform pgpipe_internal.forget_keys(changes[n]::int, keys);
            end if;
        end if;
        if changes[n + 2] <> '' then
            keys := '{}';
            for key in execute changes[n + 2] loop
                keys := keys || key;
                if cardinality(keys) = most then
                    perform pgpipe_internal.enqueue_keys(changes[n]::int, keys, tg_op = 'INSERT');
                    keys := '{}';
                end if;
            end loop;
            if keys <> '{}' then
                perform pgpipe_internal.enqueue_keys(changes[n]::int, keys, tg_op = 'INSERT');
            end if;
        end if;
    end loop;
    return null;
end
$$;
comment on function pgpipe_internal.enqueue_changes() is
    'Trigger: one job per row whose key or input columns changed, or which entered or left the condition; none for rows that went. Its '
    'arguments are those of watched_changes. It runs as the one who writes.';

