-- The triggers of a target: they ask for fresh vectors of the rows that changed.

create or replace function pgpipe.forget_jobs()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.job j using old_rows o where j.embedding_id = o.embedding_id;
    return null;
end
$$;
comment on function pgpipe.forget_jobs() is 'Trigger on pgpipe.embedding: the jobs of a dropped embedding go with it.';
create or replace trigger forget_jobs after delete on pgpipe.embedding referencing old table as old_rows
    for each statement execute function pgpipe.forget_jobs();

create or replace function pgpipe.enqueue_changes()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    set jit = off
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    enqueue text;
    -- The change starts anew: another text, other attempts. A lease is left to its holder, who finds that gen has moved.
    again constant text := $sql$
        on conflict (embedding_id, key) do update
           set gen = j.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when j.lease_token is null then excluded.visible_at else j.visible_at end $sql$;
begin
    for e in select * from pgpipe.embedding x where x.target = tg_relid loop
        if tg_op = 'INSERT' then
            enqueue := format('insert into pgpipe.job as j (embedding_id, key) select $1, %s from new_rows n where %s',
                              pgpipe.key_json(e.target, e.key_columns, 'n'), pgpipe.condition_on(e.condition, 'n'));
            if exists (select from new_rows offset 1000) then  -- fewer are not worth a subtransaction
                begin  -- a new row has no job; looking for it in the index first costs as much as the job itself
                    execute enqueue using e.embedding_id;
                    continue;
                exception when unique_violation then
                    null;
                end;
            end if;
            execute enqueue || again using e.embedding_id;
        elsif tg_op = 'UPDATE' then
            -- A changed key is a row that went and a row that came.
            execute format($sql$
                delete from pgpipe.job j using old_rows o
                 where j.embedding_id = $1 and j.key = %1$s
                   and not exists (select from new_rows n where %2$s)
                $sql$, pgpipe.key_json(e.target, e.key_columns, 'o'), pgpipe.same_key(e.target, e.key_columns, 'n', 'o'))
                using e.embedding_id;
            execute format($sql$
                insert into pgpipe.job as j (embedding_id, key)
                select $1, %1$s from new_rows n left join old_rows o on %2$s
                 where case when o.%3$I is not distinct from null then true
                            when %5$s then not %6$s or %4$s
                            else %6$s end
                $sql$, pgpipe.key_json(e.target, e.key_columns, 'n'), pgpipe.same_key(e.target, e.key_columns, 'n', 'o'),
                e.key_columns[1], pgpipe.changed(e.columns, 'n', 'o'),
                pgpipe.condition_on(e.condition, 'n'), pgpipe.condition_on(e.condition, 'o')) || again using e.embedding_id;
        elsif tg_op = 'DELETE' then
            execute format('delete from pgpipe.job j using old_rows o where j.embedding_id = $1 and j.key = %s',
                           pgpipe.key_json(e.target, e.key_columns, 'o')) using e.embedding_id;
        else  -- TRUNCATE
            delete from pgpipe.job j where j.embedding_id = e.embedding_id;
        end if;
    end loop;
    return null;
end
$$;
comment on function pgpipe.enqueue_changes() is
    'Trigger: one job per row whose key or input columns changed, or which entered or left the condition; none for rows that went. It '
    'only writes the queue, and never touches a lease: the worker that holds one finds that gen has moved.';

create or replace function pgpipe.watch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    event text;
begin
    foreach event in array '{insert,update,delete,truncate}'::text[] loop
        execute format('create or replace trigger pgpipe_%1$s after %1$s on %2$s %3$s for each statement '
                       'execute function pgpipe.enqueue_changes()', event, target,
                       case event when 'insert' then 'referencing new table as new_rows'
                                  when 'update' then 'referencing old table as old_rows new table as new_rows'
                                  when 'delete' then 'referencing old table as old_rows' else '' end);
    end loop;
end
$$;
comment on function pgpipe.watch(regclass) is 'Puts the statement triggers on a target, one per event. Twice is a no-op.';

create or replace function pgpipe.unwatch(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    watcher name;
begin
    for watcher in select g.tgname from pg_catalog.pg_trigger g
                    where g.tgrelid = target and not g.tgisinternal and g.tgfoid = 'pgpipe.enqueue_changes'::regproc loop
        execute format('drop trigger %I on %s', watcher, target);
    end loop;
end
$$;
comment on function pgpipe.unwatch(regclass) is 'Takes the statement triggers off a target again. Twice is a no-op.';

create or replace function pgpipe.enqueue_all(embedding_id int)
    returns bigint  volatile strict  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    enqueued bigint;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = enqueue_all.embedding_id;
    -- In the order of the index: its pages are filled one after the other. Where the queue holds nothing of this embedding, nothing is
    -- looked for in the index, which costs as much as the job itself.
    execute format('insert into pgpipe.job (embedding_id, key) select $1, %s from %s t where %s order by 2',
                   pgpipe.key_json(e.target, e.key_columns, 't'), e.target, pgpipe.condition_on(e.condition, 't'))
            || case when exists (select from pgpipe.job j where j.embedding_id = e.embedding_id)
                    then ' on conflict (embedding_id, key) do nothing' else '' end
      using e.embedding_id;
    get diagnostics enqueued = row_count;
    return enqueued;
end
$$;
comment on function pgpipe.enqueue_all(int) is 'Enqueues every row of an embedding''s target that has no job yet. Returns how many.';
