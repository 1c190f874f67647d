-- Jobs of the rows that a load changes in what an embedding reads, hidden as well.
insert into pgpipe.job as job (embedding_id, key, visible_at)
select 1, pg_catalog.jsonb_build_object('shop', pgpipe_internal.of_type(difference.key_1, null::integer), 'Item no', pgpipe_internal.of_type(difference.key_2, null::text)), '2026-01-01T00:01:00+00:00'::timestamptz
  from pgpipe_staging.pgpipe_difference_16384 difference
  join pgpipe_staging.spread staged on difference.key_1 operator(pg_catalog.=) staged.shop and difference.key_2 operator(pg_catalog.=) staged."Item no"
  join public.spread target on target.shop operator(pg_catalog.=) staged.shop and target."Item no" operator(pg_catalog.=) staged."Item no"
 where difference.change operator(pg_catalog.=) 'update'
   and pg_catalog.record_image_ne(row(target."Item no", target.shop, target.title), row(staged."Item no", staged.shop, staged.title))
 order by 2
-- A job that is there starts again, and its holder keeps the lease.
        on conflict on constraint job_pkey do update
           set gen = job.gen + 1, attempts = 0, rescues = 0, dead_at = null,
               visible_at = case when job.lease_token is null then excluded.visible_at
                                 else job.visible_at end
