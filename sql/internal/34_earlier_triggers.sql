-- Earlier triggers: those of version 2 and before. They stay until the owner of the target loads or
-- reconciles it; `pgpipe migrate` replaces those of its own tables. They read no row any more.

create or replace function pgpipe_internal.enqueue_changes()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.note_missed(known.embedding_id, '01P01')
       from pgpipe.embedding known where known.target = tg_relid;
    return null;
end
$$;
comment on function pgpipe_internal.enqueue_changes() is
    'Trigger of an earlier version: notes that rows were written, so that a sweep looks for them.';
