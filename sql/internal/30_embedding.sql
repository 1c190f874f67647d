-- Embeddings: what declaring one checks and begins, and which of them search uses.

create or replace function pgpipe_internal.require_declarable(target regclass)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    class pg_catalog.pg_class;
begin
    select * into class from pg_catalog.pg_class known where known.oid = target;
    if class.relkind not in ('r', 'p') then
        raise exception '% is not a table', target using errcode = 'PP003',
            hint = 'Only a table has triggers that see each change: declare it on the one that '
                   'the rows are in.';
    elsif class.relpersistence = 't' then
        raise exception '% is a temporary table, which no embedder sees', target
            using errcode = 'PP003', hint = 'Make it a permanent table.';
    elsif not pgpipe_internal.owns(target) then
        raise exception '% belongs to %: only its owner can have it embedded', target,
            class.relowner::regrole using errcode = '42501',
            hint = format('Let %1$s do it, or first: grant %1$s to %2$I.', class.relowner::regrole,
                          current_user);
    elsif not has_table_privilege('pgpipe.embedding', 'insert') then
        raise exception '% may not declare an embedding', quote_ident(current_user)
            using errcode = '42501', hint = format('Grant it the role of loads: '
                                                   'grant pgpipe_loader to %I.', current_user);
    elsif class.relpersistence = 'u' then
        raise warning '% is unlogged: a crash of the server empties it', target
            using hint = 'Run `pgpipe reconcile` after a crash, which clears its vectors away.';
    end if;
end
$$;
comment on function pgpipe_internal.require_declarable(regclass) is
    'Raises PP003 for what is not a table of rows, and 42501 for the table of another role. Warns '
    'of an unlogged one.';

create or replace function pgpipe_internal.require_embeddable(
    target regclass, columns name[], name text)
    returns name[]  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    key_columns name[];
begin
    if pgpipe_internal.vector_schema() is null then
        raise exception 'vectors need the extension pgvector, which this database lacks'
            using errcode = 'PP006',
            hint = 'Install it (Debian: postgresql-NN-pgvector), run `create extension vector`, '
                   'then `pgpipe migrate`.';
    end if;
    perform pgpipe_internal.require_declarable(target);
    key_columns := pgpipe_internal.require_key(target);
    if key_columns && '{chunk,char_start,char_end,content_hash,model,vector}'::name[] then
        raise exception 'the key of % has a column by a name that its vectors need: %',
                        target, key_columns
            using errcode = 'PP003',
            hint = 'Rename it: the store has the columns chunk, char_start, char_end, '
                   'content_hash, model and vector of its own.';
    elsif name !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'an embedding cannot be called %', quote_literal(name)
            using errcode = 'PP003',
            hint = 'Up to 40 lower-case letters, digits and _, a letter first: the name becomes '
                   'part of a table''s name.';
    end if;
    perform pgpipe_internal.require_columns(target, columns);
    perform pgpipe_internal.require_kept(target, columns);
    return key_columns;
end
$$;
comment on function pgpipe_internal.require_embeddable(regclass, name[], text) is
    'The key columns of a table that can have an embedding of these columns, by this name. Raises '
    'PP002, PP003, PP006 or PP007 if it cannot.';

create or replace function pgpipe_internal.refuse_another(known pgpipe.embedding)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    raise exception '% has an embedding % already: % of % with % dimensions',
                    known.target, quote_ident(known.name), known.columns, known.model, known.dims
        using errcode = 'PP004',
        hint = format('Fill a second one under another name, then '
                      'pgpipe.switch_embedding(%1$L, …); or drop it first: '
                      'select pgpipe.disable_embedding(%1$L, %2$L).', known.target, known.name);
end
$$;
comment on function pgpipe_internal.refuse_another(pgpipe.embedding) is
    'Raises PP004: an embedding of this name is declared, and otherwise.';

create or replace function pgpipe_internal.default_template(columns name[])
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.brace(wanted.name), E'\n' order by wanted.place)
      from unnest(columns) with ordinality wanted (name, place)
$$;
comment on function pgpipe_internal.default_template(name[]) is
    'The template if none is given: each column on a line.';

create or replace function pgpipe_internal.start_queue(e pgpipe.embedding, enqueue boolean)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if enqueue then
        perform pgpipe_internal.require_all_rows(e);
        perform pgpipe_internal.enqueue_all(e.embedding_id);
    end if;
    insert into pgpipe.sweep (embedding_id, definition, swept_at)
    select e.embedding_id, pgpipe_internal.embedding_definition(e), now() where enqueue
    union all
    select e.embedding_id, null, null where not enqueue;
end
$$;
comment on function pgpipe_internal.start_queue(pgpipe.embedding, boolean) is
    'Enqueues every row of a new embedding, or leaves that to its first sweep.';

create or replace function pgpipe_internal.check_declaration()
    returns trigger  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe_internal.is_store(new.store, new) then
        raise exception '% is not the store of an embedding of %', new.store, new.target
            using errcode = '42501',
            hint = 'pgpipe.enable_embedding makes it; nobody else has to.';
    elsif new.filter_table is not null
          and not pgpipe_internal.is_filter_table(new.filter_table, new) then
        raise exception '% is not the filter table of an embedding of %',
                        new.filter_table, new.target
            using errcode = '42501',
            hint = 'pgpipe.enable_filters makes it; nobody else has to.';
    elsif tg_op = 'INSERT' then  -- later only its owner may change the condition
        new.condition := pgpipe_internal.checked_condition(new.target, new.condition);
        new.condition_columns := coalesce(
            pgpipe_internal.condition_columns(new.target, new.condition), '{}');
    end if;
    return new;
end
$$;
comment on function pgpipe_internal.check_declaration() is
    'Trigger on pgpipe.embedding: what is called a store or a filter table is one, and a '
    'condition is one that checked_condition passes. So nothing that drops such a table, or '
    'grants rights on it, ever meets another.';

create or replace trigger check_declaration
    before insert or update of target, store, filter_table, key_columns on pgpipe.embedding
    for each row execute function pgpipe_internal.check_declaration();

create or replace function pgpipe_internal.drop_orphaned_embeddings()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone pgpipe.embedding;
begin
    for gone in
        delete from pgpipe.embedding e
         where not exists (select from pg_catalog.pg_class class where class.oid = e.target)
        returning *
    loop
        if pgpipe_internal.is_filter_table(gone.filter_table, gone) then
            perform pgpipe_internal.drop_table(gone.filter_table);
        end if;
        if pgpipe_internal.is_store(gone.store, gone) then
            perform pgpipe_internal.drop_table(gone.store);
        end if;
    end loop;
end
$$;
comment on function pgpipe_internal.drop_orphaned_embeddings() is
    'Drops the stores, with their filter tables, whose target DROP TABLE … CASCADE took away.';

create or replace function pgpipe_internal.note_fingerprint(embedding_id int, fingerprint bytea)
    returns bytea
    volatile strict  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known bytea := (select e.fingerprint from pgpipe.embedding e
                     where e.embedding_id = note_fingerprint.embedding_id);
begin
    if known is null then  -- the second to come waits here, and finds it set
        update pgpipe.embedding e set fingerprint = note_fingerprint.fingerprint
         where e.embedding_id = note_fingerprint.embedding_id and e.fingerprint is null;
        select e.fingerprint into known from pgpipe.embedding e
         where e.embedding_id = note_fingerprint.embedding_id;
    end if;
    return known;
end
$$;
comment on function pgpipe_internal.note_fingerprint(int, bytea) is
    'Keeps the model identity of an embedding: what the first model that serves it makes of fixed '
    'texts. Returns what is kept. A model that makes something else of them has other weights, '
    'whatever its name. Null if the embedding does not exist.';

create or replace function pgpipe_internal.require_embedding(target regclass, embedding text)
    returns pgpipe.embedding  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into e from pgpipe.embedding known
     where known.target = require_embedding.target
       and case when require_embedding.embedding is null then known.active
                else known.name = require_embedding.embedding end;
    if not found then
        raise exception '% has no embedding%', target, coalesce(' ' || quote_ident(embedding), '')
            using errcode = 'PP008',
            hint = coalesce(
                (select format('It has %s.', string_agg(quote_ident(known.name), ', '
                                                        order by known.embedding_id))
                   from pgpipe.embedding known where known.target = require_embedding.target
                 having count(*) > 0),
                format('Declare one: select pgpipe.enable_embedding(%L, ''{column}'', '
                       'model => …, dims => …)', target));
    end if;
    return e;
end
$$;
comment on function pgpipe_internal.require_embedding(regclass, text) is
    'The embedding of that name; the active one if none is named. Raises PP008, naming those it '
    'has.';
