-- The triggers of table doc as a person would write them for that one table: definers, the pins
-- and the job rows of pgpipe's own. `make bench-triggers` measures pgpipe's triggers against these.
-- tests/sql/test_static_trigger.py holds that both leave the same jobs.

create schema bench;

create function bench.enqueue_inserted()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set jit = off
    language plpgsql
as $$
begin
    insert into pgpipe.job as job (embedding_id, key)
    select 1, jsonb_build_object('id', added.id) from new_rows added
        on conflict (embedding_id, key) do update
       set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
           visible_at = case when job.lease_token is null then excluded.visible_at
                             else job.visible_at end;
    return null;
end
$$;

create function bench.enqueue_updated()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set jit = off
    language plpgsql
as $$
begin
    insert into pgpipe.job as job (embedding_id, key)
    select 1, jsonb_build_object('id', coalesce(after.id, before.id))
      from new_rows after full join old_rows before on before.id = after.id
     where before.id is null or after.id is null
        or (after.title collate "C", after.body collate "C")
           is distinct from (before.title collate "C", before.body collate "C")
        on conflict (embedding_id, key) do update
       set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
           visible_at = case when job.lease_token is null then excluded.visible_at
                             else job.visible_at end;
    return null;
end
$$;

create function bench.enqueue_deleted()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set jit = off
    language plpgsql
as $$
begin
    insert into pgpipe.job as job (embedding_id, key)
    select 1, jsonb_build_object('id', removed.id) from old_rows removed
        on conflict (embedding_id, key) do update
       set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
           visible_at = case when job.lease_token is null then excluded.visible_at
                             else job.visible_at end;
    return null;
end
$$;

create trigger bench_insert after insert on doc referencing new table as new_rows
    for each statement execute function bench.enqueue_inserted();
create trigger bench_update after update on doc
    referencing old table as old_rows new table as new_rows
    for each statement execute function bench.enqueue_updated();
create trigger bench_delete after delete on doc referencing old table as old_rows
    for each statement execute function bench.enqueue_deleted();
