-- Jobs of all staged rows, hidden as those of a merge are.
insert into pgpipe.job as job (embedding_id, key, visible_at)
select 1, pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(staged.shop, null::integer), 'Item no', pgpipe_internal.of_type(staged."Item no", null::text)), '2026-01-01T00:01:00+00:00'::timestamptz
  from pgpipe_staging.spread staged
 order by 2
-- A job that is there starts again, and its holder keeps the lease.
        on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end
