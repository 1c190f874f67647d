-- Earlier triggers: those of version 2 and before. They stay until the owner of the target loads or
-- reconciles it; `pgpipe migrate` replaces those of its own tables. They read no row any more.
-- Those of filter tables take their table out of service, until it is made again.

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

create or replace function pgpipe_internal.copy_filters()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.suspend_filters(
               known.embedding_id, 'its triggers are of an earlier version')
       from pgpipe.embedding known
      where known.target = tg_relid and known.filters <> '{}' and known.filter_error is null;
    return null;
end
$$;
comment on function pgpipe_internal.copy_filters() is
    'Trigger of an earlier version on a target: its filter tables are not kept any more.';

create or replace function pgpipe_internal.copy_vectors()
    returns trigger  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.suspend_copy(
               known.embedding_id, 'its triggers are of an earlier version')
       from pgpipe.embedding known
      where known.store = tg_relid and known.filters <> '{}' and known.filter_error is null;
    return null;
end
$$;
comment on function pgpipe_internal.copy_vectors() is
    'Trigger of an earlier version on a store: its filter table is not kept any more.';
