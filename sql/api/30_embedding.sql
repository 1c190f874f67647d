-- Embeddings: declaring them, pausing them, and which of them search uses.

drop function if exists pgpipe.enable_embedding(
    regclass, name[], text, int, text, text, text, int, int, boolean);
create or replace function pgpipe.enable_embedding(
    target regclass, columns name[], model text, dims int, template text default null,
    name text default 'default', condition text default null, chunk_size int default null,
    chunk_overlap int default 0, enqueue boolean default true,
    store_precision text default null)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    key_columns name[] := pgpipe_internal.require_embeddable(target, columns, name);
    known pgpipe.embedding;
begin
    template := coalesce(template, pgpipe_internal.default_template(columns));
    perform pgpipe_internal.input_expression(columns, template);  -- refuses what it cannot use
    condition := pgpipe_internal.checked_condition(target, condition);
    perform pgpipe_internal.drop_orphaned_embeddings();
    select * into known from pgpipe.embedding declared
     where declared.target = enable_embedding.target and declared.name = enable_embedding.name;
    store_precision := pgpipe_internal.stored_precision(known, dims, store_precision);
    if known.embedding_id > 0 then
        perform pgpipe_internal.refuse_another(known)
          where (known.columns, known.template, known.condition, known.model, known.dims,
                 known.chunk_size, known.chunk_overlap, known.store_precision) is distinct from (
                columns, template, condition, model, dims,
                chunk_size, chunk_overlap, store_precision);
        perform pgpipe_internal.repair_triggers(target) where pgpipe_internal.owns(target);
        return known.embedding_id;
    end if;
    known.store := pgpipe_internal.create_store(
        target, pgpipe_internal.store_name(target, name), key_columns, dims, store_precision);
    insert into pgpipe.embedding (target, name, store, key_columns, columns, template, condition,
                                  model, dims, chunk_size, chunk_overlap, store_precision, active)
    values (target, name, known.store, key_columns, columns, template, condition, model, dims,
            chunk_size, chunk_overlap, store_precision, not exists (select from pgpipe.embedding e
                 where e.target = $1 and e.active)) returning * into known;
    perform pgpipe_internal.watch(target), pgpipe_internal.grant_target(target);
    perform pgpipe_internal.start_queue(known, enqueue),
            pgpipe_internal.warn_of_lacking_grants(known);
    return known.embedding_id;
end
$$;
comment on function pgpipe.enable_embedding(
    regclass, name[], text, int, text, text, text, int, int, boolean, text) is
    'Declares an embedding: creates its store and the triggers of the target, and enqueues every '
    'row. `enqueue` false leaves that to `pgpipe reconcile`, which holds no lock for long. '
    '`condition` is SQL over the row''s columns. Rows for which it is not true have no vectors. '
    'With `store_precision` half the store holds `halfvec`: half the bytes. '
    'The first embedding of a target is active. Returns its id. Twice is a no-op. Raises PP002 '
    'for an unknown column, and PP003 for a bad template, condition or name of a key column. '
    'Raises PP004 if another is declared, PP006 without pgvector, PP007 without a primary key. '
    'Example: select pgpipe.enable_embedding(''article'', ''{title,body}'', '
    'model => ''all-MiniLM-L6-v2'', dims => 384, condition => ''year > 2000'')';

create or replace function pgpipe.disable_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone pgpipe.embedding;
begin
    -- The table first, as its writers do: a writer that holds one job and waits for another would
    -- be in a deadlock with the delete.
    execute format('lock table %s in access exclusive mode', target);
    -- Before the embedding goes, and with it what its triggers call.
    perform pgpipe_internal.unwatch(target);
    delete from pgpipe.embedding known
     where known.target = disable_embedding.target and known.name = disable_embedding.name
    returning * into gone;
    if found then
        perform pgpipe_internal.drop_table(gone.filter_table);
        perform pgpipe_internal.drop_table(gone.store);
    end if;
    perform pgpipe_internal.watch(target);
end
$$;
comment on function pgpipe.disable_embedding(regclass, text) is
    'Drops an embedding with its store and its jobs, and with the last one the triggers of the '
    'target. Twice is a no-op. '
    'Example: select pgpipe.disable_embedding(''article'')';

create or replace function pgpipe.switch_embedding(
    target regclass, name text, force boolean default false)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe_internal.require_embedding(target, name);
    waiting bigint;
begin
    select count(*) into waiting from pgpipe.job
     where job.embedding_id = e.embedding_id and job.dead_at is null;
    if waiting > 0 and not force then
        raise exception 'the embedding % of % still lacks vectors: % jobs wait',
                        quote_ident(name), target, waiting
            using errcode = 'PP011',
            hint = 'Let `pgpipe embedder` finish first; `force` switches all the same.';
    end if;
    -- Both in this transaction: a search sees the one or the other.
    update pgpipe.embedding known set active = false
     where known.target = switch_embedding.target and known.active
       and known.embedding_id <> e.embedding_id;
    update pgpipe.embedding known set active = true
     where known.embedding_id = e.embedding_id and not known.active;
end
$$;
comment on function pgpipe.switch_embedding(regclass, text, boolean) is
    'Makes search use this embedding from the moment of commit on. The other stays, is kept fresh, '
    'and can be switched back to. Raises PP008 for an unknown one, PP011 while jobs of it wait, '
    'unless forced. '
    'Example: select pgpipe.switch_embedding(''article'', ''second'')';

create or replace function pgpipe.pause_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.embedding known set paused_at = coalesce(known.paused_at, now())
     where known.embedding_id = (pgpipe_internal.require_embedding(
               pause_embedding.target, pause_embedding.name)).embedding_id
$$;
comment on function pgpipe.pause_embedding(regclass, text) is
    'Stops the claiming of jobs. Changes are still enqueued, and batches at work are finished. '
    'Twice is a no-op. Raises PP008. '
    'Example: select pgpipe.pause_embedding(''article'')';

create or replace function pgpipe.resume_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.embedding known set paused_at = null
     where known.embedding_id = (pgpipe_internal.require_embedding(
               resume_embedding.target, resume_embedding.name)).embedding_id
$$;
comment on function pgpipe.resume_embedding(regclass, text) is
    'Lets the claiming of jobs go on. Twice is a no-op. Raises PP008. '
    'Example: select pgpipe.resume_embedding(''article'')';

create or replace function pgpipe.set_index_precision(
    target regclass, index_precision text, embedding text default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.embedding := pgpipe_internal.require_embedding(target, embedding);
begin
    if index_precision is null or index_precision <> all ('{full,half,bit}') then
        raise exception 'a vector index has no precision %',
            coalesce(quote_literal(index_precision), 'null') using errcode = 'PP003',
            hint = 'It is full, half or bit.';
    end if;
    update pgpipe.embedding known set index_precision = set_index_precision.index_precision
     where known.embedding_id = declared.embedding_id
       and known.index_precision <> set_index_precision.index_precision;
end
$$;
comment on function pgpipe.set_index_precision(regclass, text, text) is
    'What the vector index of an embedding holds of a vector: all of it as stored (`full`), half '
    'of the precision (`half`, unless something else is set), or a bit of each dimension (`bit`). '
    'Searches compare what it finds in full. The owner''s next `pgpipe embedder` or `pgpipe load` '
    'builds the new index while the old one serves. Twice is a no-op. Raises PP003, PP008. '
    'Example: select pgpipe.set_index_precision(''article'', ''bit'')';
