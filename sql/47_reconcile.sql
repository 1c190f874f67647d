-- Reconciling: rows that changed while no trigger saw it (a restore, a replica, a partition written directly) are enqueued.

create or replace function pgpipe.reconcile_rows(embedding_id int, max_rows int default 10000,
    out examined bigint, out enqueued bigint, out finished boolean)
    volatile strict  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    position jsonb;
    last jsonb;
    stale jsonb[];
    orphans jsonb[];
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = reconcile_rows.embedding_id;
    insert into pgpipe.reconciliation (embedding_id) values (e.embedding_id) on conflict do nothing;
    if found then
        perform pgpipe.repair_triggers(e.target);
        perform pgpipe.repair_filters(e.embedding_id);
    end if;
    select r.position into position from pgpipe.reconciliation r where r.embedding_id = e.embedding_id for update;
    -- In the order of the primary key; what is stored is compared with what the rows hold now.
    execute format($sql$
        with part as materialized (
            select %1$s as key, pgpipe.content_hash(%2$s) as hash, row_number() over (order by %3$s) as n, %8$s
              from %4$s t where $1 is null or %5$s order by %3$s limit $2
        )
        select count(*), (array_agg(p.key order by p.n desc))[1],
               coalesce(array_agg(p.key order by p.n) filter (where
                   case when p.hash is null then s.content_hash is not null
                        else s.content_hash is distinct from p.hash or s.model is distinct from $3 end
                   and not exists (select from pgpipe.job j where j.embedding_id = $4 and j.key = p.key)), '{}')
          from part p left join %6$s s on %7$s and s.chunk = 0
        $sql$, pgpipe.key_json(e.target, e.key_columns, 't'), pgpipe.input_expression(e.columns, e.template, e.condition),
        pgpipe.column_list(e.key_columns, 't'), e.target, pgpipe.key_after(e.target, e.key_columns, 't', '$1'), e.store,
        pgpipe.same_numbered(e.target, e.key_columns, 'p', 's'), pgpipe.numbered_list(e.key_columns, 't'))
        into examined, last, stale using position, max_rows, e.model, e.embedding_id;
    finished := examined < max_rows;
    -- Vectors whose row is gone, in the same range of keys.
    execute format($sql$
        select coalesce(array_agg(distinct %1$s), '{}') from %2$s s
         where ($1 is null or %3$s) and ($2 is null or %4$s) and not exists (select from %5$s t where %6$s)
        $sql$, pgpipe.key_json(e.target, e.key_columns, 's'), e.store, pgpipe.key_after(e.target, e.key_columns, 's', '$1'),
        pgpipe.key_after(e.target, e.key_columns, 's', '$2', false), e.target,
        pgpipe.same_key(e.target, e.key_columns, 't', 's')) into orphans using position, case when not finished then last end;
    -- A row that somebody is changing is left to his trigger; the others cannot be changed until this is committed, so nobody
    -- who holds a job of one of them waits for us while we wait for him.
    execute format($sql$
        with mine as materialized (
            select w.key from unnest($1) w (key) join %s t on %s for share of t skip locked
        )
        insert into pgpipe.job (embedding_id, key) select $2, key from (table mine union all select unnest($3)) k
            on conflict (embedding_id, key) do nothing
        $sql$, e.target, pgpipe.key_match(e.target, e.key_columns, 't', 'w.key')) using stale, e.embedding_id, orphans;
    get diagnostics enqueued = row_count;
    if finished then
        delete from pgpipe.reconciliation r where r.embedding_id = e.embedding_id;
    else
        update pgpipe.reconciliation r
           set position = last, examined = r.examined + reconcile_rows.examined, enqueued = r.enqueued + reconcile_rows.enqueued,
               moved_at = clock_timestamp()
         where r.embedding_id = e.embedding_id;
    end if;
end
$$;
comment on function pgpipe.reconcile_rows(int, int) is
    'Compares the next max_rows rows, in the order of their key, with their stored vectors, and enqueues those whose text or model is '
    'another, that lack vectors or should have none, and vectors whose row is gone. Commit, and call again until `finished`: the place '
    'is kept in pgpipe.reconciliation. The first call also brings back triggers that are missing or disabled, and mends the filter table.';

create or replace function pgpipe.repair_triggers(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if (select count(*) from pg_catalog.pg_trigger g where g.tgrelid = target and g.tgfoid = 'pgpipe.enqueue_changes'::regproc
           and g.tgenabled in ('O', 'A')) < 4 then
        perform pgpipe.watch(target);
        execute (select string_agg(format('alter table %s enable trigger %I', target, g.tgname), '; ') from pg_catalog.pg_trigger g
                  where g.tgrelid = target and g.tgfoid = 'pgpipe.enqueue_changes'::regproc);
    end if;
end
$$;
comment on function pgpipe.repair_triggers(regclass) is 'Brings back the triggers of a target where one is missing or disabled.';
