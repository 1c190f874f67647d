-- Embeddings: declaring them, pausing them, and which of them search uses.

create or replace function pgpipe.enable_embedding(
    target regclass, columns name[], model text, dims int, template text default null, name text default 'default',
    condition text default null, chunk_size int default null, chunk_overlap int default 0, enqueue boolean default true)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    key_columns name[] := pgpipe_internal.key_columns(target);
    known pgpipe.embedding;
    store text;
begin
    if pgpipe_internal.vector_schema() is null then
        raise exception 'vectors need the extension pgvector, which this database lacks' using errcode = 'PP006',
            hint = 'Install it (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`.';
    elsif key_columns is null then
        raise exception '% has no primary key, so its vectors could not be told apart', target using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    elsif key_columns && '{chunk,char_start,char_end,content_hash,model,vector}'::name[] then
        raise exception 'the key of % has a column by a name that its vectors need: %', target, key_columns using errcode = 'PP003',
            hint = 'Rename it: chunk, char_start, char_end, content_hash, model and vector are columns of the store, beside the key.';
    elsif name !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'an embedding cannot be called %', quote_literal(name) using errcode = 'PP003',
            hint = 'Up to 40 lower-case letters, digits and _, a letter first: the name becomes part of a table''s name.';
    end if;
    perform pgpipe_internal.require_columns(target, columns);
    perform pgpipe_internal.require_kept(target, columns);
    template := coalesce(template, (select string_agg(pgpipe_internal.brace(c), E'\n' order by n) from unnest(columns) with ordinality k (c, n)));
    perform pgpipe_internal.input_expression(columns, template);  -- refuses a template it cannot use
    condition := pgpipe_internal.checked_condition(target, condition);
    perform pgpipe_internal.drop_orphaned_embeddings();
    select * into known from pgpipe.embedding e where e.target = enable_embedding.target and e.name = enable_embedding.name;
    if found and (known.columns, known.template, known.condition, known.model, known.dims, known.chunk_size, known.chunk_overlap)
                 is distinct from (columns, template, condition, model, dims, chunk_size, chunk_overlap) then
        raise exception '% has an embedding % already: % of % with % dimensions', target, quote_ident(name), known.columns,
            known.model, known.dims using errcode = 'PP004',
            hint = format('Fill a second one beside it under another name, then pgpipe.switch_embedding(%1$L, …); or drop it first: '
                          'select pgpipe.disable_embedding(%1$L, %2$L).', target, name);
    elsif found then
        if (select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class where class.oid = enable_embedding.target) then
            perform pgpipe_internal.repair_triggers(target);
        end if;
        return known.embedding_id;
    end if;
    store := (select format('%I.%I', n.nspname, pgpipe_internal.derived_name(c.relname, case name when 'default' then '_embedding'
                                                                                    else '_embedding_' || name end))
                from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where c.oid = enable_embedding.target);
    insert into pgpipe.embedding (target, name, store, key_columns, columns, template, condition, model, dims, chunk_size,
                                  chunk_overlap, active)
    values (target, name, pgpipe_internal.create_store(target, store, key_columns, dims), key_columns, columns, template, condition, model,
            dims, chunk_size, chunk_overlap,
            not exists (select from pgpipe.embedding e where e.target = enable_embedding.target and e.active))
    returning * into known;
    perform pgpipe_internal.watch(target);
    perform pgpipe_internal.grant_target(target);
    if enqueue then
        perform pgpipe_internal.require_all_rows(known);
        perform pgpipe_internal.enqueue_all(known.embedding_id);
    end if;
    insert into pgpipe.sweep (embedding_id, definition, swept_at)
    select known.embedding_id, pgpipe_internal.embedding_definition(known), now() where enqueue
    union all
    select known.embedding_id, null, null where not enqueue;
    return known.embedding_id;
end
$$;
comment on function pgpipe.enable_embedding(regclass, name[], text, int, text, text, text, int, int, boolean) is
    'Declares an embedding: creates its store and the triggers of the target, and enqueues every '
    'row. `enqueue` false leaves that to `pgpipe reconcile`, which holds no lock for long. '
    '`condition` is SQL over the row''s columns. Rows for which it is not true have no vectors. '
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
    -- The table first, as its writers do: a writer that holds one job and waits for another would be in a deadlock with the delete.
    execute format('lock table %s in access exclusive mode', target);
    perform pgpipe_internal.unwatch(target);  -- before the embedding goes, and with it what its triggers call
    delete from pgpipe.embedding e where e.target = disable_embedding.target and e.name = disable_embedding.name returning * into gone;
    if found then
        perform pgpipe_internal.drop_table(gone.filter_table);
        perform pgpipe_internal.drop_table(gone.store);
    end if;
    perform pgpipe_internal.watch(target);
end
$$;
comment on function pgpipe.disable_embedding(regclass, text) is
    'Drops an embedding with its store and its jobs, and with the last one the triggers of the target. Twice is a no-op. '
    'Example: select pgpipe.disable_embedding(''article'')';

create or replace function pgpipe.switch_embedding(target regclass, name text, force boolean default false)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe_internal.require_embedding(target, name);
    waiting bigint;
begin
    select count(*) into waiting from pgpipe.job j where j.embedding_id = e.embedding_id and j.dead_at is null;
    if waiting > 0 and not force then
        raise exception 'the embedding % of % still lacks vectors: % jobs wait', quote_ident(name), target, waiting
            using errcode = 'PP011', hint = 'Let `pgpipe embedder` finish first; `force` switches all the same.';
    end if;
    -- Both in this transaction: a search sees the one or the other.
    update pgpipe.embedding x set active = false where x.target = switch_embedding.target and x.active and x.embedding_id <> e.embedding_id;
    update pgpipe.embedding x set active = true where x.embedding_id = e.embedding_id and not x.active;
end
$$;
comment on function pgpipe.switch_embedding(regclass, text, boolean) is
    'Makes search use this embedding from the moment of commit on. The other stays, is kept fresh, and can be switched back to. '
    'Raises PP008 for an unknown one, PP011 while jobs of it wait, unless forced. '
    'Example: select pgpipe.switch_embedding(''article'', ''second'')';

create or replace function pgpipe.pause_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.embedding e set paused_at = coalesce(e.paused_at, now())
     where e.embedding_id = (pgpipe_internal.require_embedding(pause_embedding.target, pause_embedding.name)).embedding_id
$$;
comment on function pgpipe.pause_embedding(regclass, text) is
    'Nothing more is claimed; changes are still enqueued, and batches at work are finished. Twice is a no-op. Raises PP008. '
    'Example: select pgpipe.pause_embedding(''article'')';

create or replace function pgpipe.resume_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.embedding e set paused_at = null
     where e.embedding_id = (pgpipe_internal.require_embedding(resume_embedding.target, resume_embedding.name)).embedding_id
$$;
comment on function pgpipe.resume_embedding(regclass, text) is
    'Claiming goes on. Twice is a no-op. Raises PP008. '
    'Example: select pgpipe.resume_embedding(''article'')';
