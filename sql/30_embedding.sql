-- Embeddings: declaring them, where their vectors lie, and which of them search uses.


create or replace function pgpipe.create_store(target regclass, store text, key_columns name[], dims int)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute format($sql$
        create table %1$s (
            %2$s,
            chunk        int not null check (chunk >= 0),       -- 0, 1, … where a long text was split
            char_start   int not null check (char_start >= 0),  -- the passage, in characters of the text
            char_end     int not null check (char_end > char_start),
            content_hash bytea not null,                        -- of the whole text
            model        text not null,
            vector       %3$s not null,
            primary key (%4$s, chunk),
            foreign key (%4$s) references %5$s (%4$s) on update cascade on delete cascade
        )$sql$, store,
        (select string_agg(format('%I %s not null', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' order by k.n)
           from unnest(key_columns) with ordinality k (c, n)
           join pg_catalog.pg_attribute a on a.attrelid = create_store.target and a.attname = k.c),
        format('%I.%s(%s)', pgpipe.vector_schema(), case when dims > 2000 then 'halfvec' else 'vector' end, dims),
        pgpipe.column_list(key_columns), target);
    execute format('alter table %s alter column vector set storage main', store);  -- inline: a scan reads it faster
    execute format('create index on %s (content_hash) where chunk = 0', store);    -- an equal text is not embedded twice
    execute format('alter table %s owner to %s', store,
                   (select c.relowner::regrole from pg_catalog.pg_class c where c.oid = create_store.target));
    return store::regclass;
end
$$;
comment on function pgpipe.create_store(regclass, text, name[], int) is 'Creates the table of an embedding''s vectors.';

create or replace function pgpipe.is_store(relation regclass, e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Whoever could make another table look so owns both, and may drop it or grant rights on it anyway.
    select exists (
        select from pg_catalog.pg_class c
          left join pg_catalog.pg_class t on t.oid = e.target
         where c.oid = relation and c.relkind = 'r' and (t.oid is null or t.relowner = c.relowner)
           and pgpipe.key_columns(relation) = e.key_columns || '{chunk}'::name[]
           and (select count(*) from (values ('chunk', 'int4'), ('char_start', 'int4'), ('char_end', 'int4'), ('content_hash', 'bytea'),
                                             ('model', 'text')) w (name, type)
                 where pgpipe.column_type_of(relation, w.name) = to_regtype('pg_catalog.' || w.type)) = 5
           and pgpipe.column_type_of(relation, 'vector') in (
               select y.oid from pg_catalog.pg_type y join pg_catalog.pg_namespace n on n.oid = y.typnamespace
                where n.nspname = pgpipe.vector_schema() and y.typname in ('vector', 'halfvec')))
$$;
comment on function pgpipe.is_store(regclass, pgpipe.embedding) is
    'Whether the catalogue shows a table to be the store of an embedding. It looks at its columns '
    'and key, and at the owner of the target, unless that is gone.';

create or replace function pgpipe.is_filter_table(relation regclass, e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_class c left join pg_catalog.pg_class s on s.oid = e.store
         where c.oid = relation and c.relkind = 'r' and (s.oid is null or s.relowner = c.relowner)
           and pgpipe.key_columns(relation) = e.key_columns || '{chunk}'::name[]
           and pgpipe.column_type_of(relation, 'vector') in (
               select y.oid from pg_catalog.pg_type y join pg_catalog.pg_namespace n on n.oid = y.typnamespace
                where n.nspname = pgpipe.vector_schema() and y.typname = 'halfvec')
           and (s.oid is null or exists (select from pg_catalog.pg_constraint k
                                          where k.conrelid = c.oid and k.contype = 'f' and k.confrelid = s.oid)))
$$;
comment on function pgpipe.is_filter_table(regclass, pgpipe.embedding) is
    'Whether the catalogue shows a table to be the filter table of an embedding.';

create or replace function pgpipe.check_declaration()
    returns trigger  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe.is_store(new.store, new) then
        raise exception '% is not the store of an embedding of %', new.store, new.target using errcode = '42501',
            hint = 'pgpipe.enable_embedding makes it; nobody else has to.';
    elsif new.filter_table is not null and not pgpipe.is_filter_table(new.filter_table, new) then
        raise exception '% is not the filter table of an embedding of %', new.filter_table, new.target using errcode = '42501',
            hint = 'pgpipe.enable_filters makes it; nobody else has to.';
    elsif tg_op = 'INSERT' then  -- later only its owner may change the condition
        perform pgpipe.checked_condition(new.target, new.condition);
    end if;
    return new;
end
$$;
comment on function pgpipe.check_declaration() is
    'Trigger on pgpipe.embedding: what is called a store or a filter table is one, and a '
    'condition is one that checked_condition passes. So nothing that drops such a table, or '
    'grants rights on it, ever meets another.';
create or replace trigger check_declaration before insert or update of target, store, filter_table, key_columns on pgpipe.embedding
    for each row execute function pgpipe.check_declaration();

create or replace function pgpipe.drop_table(relation regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if exists (select from pg_catalog.pg_class c where c.oid = relation and pg_has_role(c.relowner, 'usage')) then
        execute format('drop table %s', relation);
    end if;
end
$$;
comment on function pgpipe.drop_table(regclass) is 'Drops a table that pgpipe made, where nobody else has, as its owner.';

create or replace function pgpipe.drop_orphaned_embeddings()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone pgpipe.embedding;
begin
    for gone in delete from pgpipe.embedding e where not exists (select from pg_catalog.pg_class c where c.oid = e.target)
                returning * loop
        if pgpipe.is_filter_table(gone.filter_table, gone) then
            perform pgpipe.drop_table(gone.filter_table);
        end if;
        if pgpipe.is_store(gone.store, gone) then
            perform pgpipe.drop_table(gone.store);
        end if;
    end loop;
end
$$;
comment on function pgpipe.drop_orphaned_embeddings() is
    'Drops the stores, with their filter tables, whose target DROP TABLE … CASCADE took away.';

create or replace function pgpipe.enable_embedding(
    target regclass, columns name[], model text, dims int, template text default null, name text default 'default',
    condition text default null, chunk_size int default null, chunk_overlap int default 0, enqueue boolean default true)
    returns int  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    key_columns name[] := pgpipe.key_columns(target);
    known pgpipe.embedding;
    store text;
begin
    if pgpipe.vector_schema() is null then
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
    perform pgpipe.require_columns(target, columns);
    perform pgpipe.require_kept(target, columns);
    template := coalesce(template, (select string_agg(pgpipe.brace(c), E'\n' order by n) from unnest(columns) with ordinality k (c, n)));
    perform pgpipe.input_expression(columns, template);  -- refuses a template it cannot use
    condition := pgpipe.checked_condition(target, condition);
    perform pgpipe.drop_orphaned_embeddings();
    select * into known from pgpipe.embedding e where e.target = enable_embedding.target and e.name = enable_embedding.name;
    if found and (known.columns, known.template, known.condition, known.model, known.dims, known.chunk_size, known.chunk_overlap)
                 is distinct from (columns, template, condition, model, dims, chunk_size, chunk_overlap) then
        raise exception '% has an embedding % already: % of % with % dimensions', target, quote_ident(name), known.columns,
            known.model, known.dims using errcode = 'PP004',
            hint = format('Fill a second one beside it under another name, then pgpipe.switch_embedding(%1$L, …); or drop it first: '
                          'select pgpipe.disable_embedding(%1$L, %2$L).', target, name);
    elsif found then
        if (select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class where class.oid = enable_embedding.target) then
            perform pgpipe.repair_triggers(target);
        end if;
        return known.embedding_id;
    end if;
    store := (select format('%I.%I', n.nspname, pgpipe.derived_name(c.relname, case name when 'default' then '_embedding'
                                                                                    else '_embedding_' || name end))
                from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               where c.oid = enable_embedding.target);
    insert into pgpipe.embedding (target, name, store, key_columns, columns, template, condition, model, dims, chunk_size,
                                  chunk_overlap, active)
    values (target, name, pgpipe.create_store(target, store, key_columns, dims), key_columns, columns, template, condition, model,
            dims, chunk_size, chunk_overlap,
            not exists (select from pgpipe.embedding e where e.target = enable_embedding.target and e.active))
    returning * into known;
    perform pgpipe.watch(target);
    perform pgpipe.share(target);
    if enqueue then
        perform pgpipe.require_all_rows(known);
        perform pgpipe.enqueue_all(known.embedding_id);
    end if;
    insert into pgpipe.sweep (embedding_id, definition, swept_at)
    select known.embedding_id, pgpipe.embedding_definition(known), now() where enqueue
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
    'Raises PP004 if another is declared, PP006 without pgvector, PP007 without a primary key.';

create or replace function pgpipe.note_fingerprint(embedding_id int, fingerprint bytea)
    returns bytea  volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known bytea := (select e.fingerprint from pgpipe.embedding e where e.embedding_id = note_fingerprint.embedding_id);
begin
    if known is null then  -- the second to come waits here, and finds it set
        update pgpipe.embedding e set fingerprint = note_fingerprint.fingerprint
         where e.embedding_id = note_fingerprint.embedding_id and e.fingerprint is null;
        select e.fingerprint into known from pgpipe.embedding e where e.embedding_id = note_fingerprint.embedding_id;
    end if;
    return known;
end
$$;
comment on function pgpipe.note_fingerprint(int, bytea) is
    'Keeps the model identity of an embedding: what the first model that serves it makes of fixed '
    'texts. Returns what is kept. A model that makes something else of them has other weights, '
    'whatever its name. Null if the embedding does not exist.';

create or replace function pgpipe.disable_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone pgpipe.embedding;
begin
    -- The table first, as its writers do: a writer that holds one job and waits for another would be in a deadlock with the delete.
    execute format('lock table %s in access exclusive mode', target);
    perform pgpipe.unwatch(target);  -- before the embedding goes, and with it what its triggers call
    delete from pgpipe.embedding e where e.target = disable_embedding.target and e.name = disable_embedding.name returning * into gone;
    if found then
        perform pgpipe.drop_table(gone.filter_table);
        perform pgpipe.drop_table(gone.store);
    end if;
    perform pgpipe.watch(target);
end
$$;
comment on function pgpipe.disable_embedding(regclass, text) is
    'Drops an embedding with its store and its jobs, and with the last one the triggers of the target. Twice is a no-op.';

create or replace function pgpipe.require_embedding(target regclass, embedding text)
    returns pgpipe.embedding  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into e from pgpipe.embedding x
     where x.target = require_embedding.target
       and case when require_embedding.embedding is null then x.active else x.name = require_embedding.embedding end;
    if not found then
        raise exception '% has no embedding%', target, coalesce(' ' || quote_ident(embedding), '') using errcode = 'PP008',
            hint = coalesce((select 'It has ' || string_agg(quote_ident(x.name), ', ' order by x.embedding_id) || '.'
                               from pgpipe.embedding x where x.target = require_embedding.target),
                            format('Declare one: select pgpipe.enable_embedding(%L, ''{column}'', model => …, dims => …)', target));
    end if;
    return e;
end
$$;
comment on function pgpipe.require_embedding(regclass, text) is
    'The embedding of that name, the active one where none is named. Raises PP008, naming those it has.';

create or replace function pgpipe.switch_embedding(target regclass, name text, force boolean default false)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding := pgpipe.require_embedding(target, name);
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
    'Raises PP008 for an unknown one, PP011 while jobs of it wait, unless forced.';

create or replace function pgpipe.pause_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.embedding e set paused_at = coalesce(e.paused_at, now())
     where e.embedding_id = (pgpipe.require_embedding(pause_embedding.target, pause_embedding.name)).embedding_id
$$;
comment on function pgpipe.pause_embedding(regclass, text) is
    'Nothing more is claimed; changes are still enqueued, and batches at work are finished. Twice is a no-op. Raises PP008.';

create or replace function pgpipe.resume_embedding(target regclass, name text default 'default')
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.embedding e set paused_at = null
     where e.embedding_id = (pgpipe.require_embedding(resume_embedding.target, resume_embedding.name)).embedding_id
$$;
comment on function pgpipe.resume_embedding(regclass, text) is 'Claiming goes on. Twice is a no-op. Raises PP008.';
