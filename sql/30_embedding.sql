-- Embeddings: how a row becomes a text, where its vectors lie, and the triggers that ask for fresh ones.

create or replace function pgpipe.input_expression(columns name[], template text)
    returns text  immutable strict  set search_path = ''  language plpgsql
as $$
declare
    line text;
    piece text[];
    parts text[];
    used name[];
    all_used name[] := '{}';
    lines text[] := '{}';
begin
    foreach line in array string_to_array(template, E'\n') loop
        parts := '{}';
        used := '{}';
        for piece in select m from regexp_matches(line, '\{([^{}]*)\}|([^{}]+)', 'g') m loop  -- {column}, or text between
            if piece[1] is null then
                parts := parts || quote_literal(piece[2]);
            elsif piece[1] = any (columns) then
                used := used || piece[1]::name;
                parts := parts || format('t.%I', piece[1]);
            else
                raise exception 'the template names {%}, which is not among the columns %', piece[1], columns
                    using errcode = 'PP003';
            end if;
        end loop;
        all_used := all_used || used;
        lines := lines || case when used = '{}' then quote_literal(line)
                               else format('case when concat(%s) <> '''' then concat(%s) end',
                                           pgpipe.column_list(used, 't'), array_to_string(parts, ', ')) end;
    end loop;
    if all_used = '{}' then
        raise exception 'the template names no column' using errcode = 'PP003', hint = 'Write {column} where its text belongs.';
    end if;
    return format('case when btrim(concat(%s), E'' \t\n\r'') <> '''' then btrim(concat_ws(E''\n'', %s), E'' \t\n\r'') end',
                  pgpipe.column_list(all_used, 't'), array_to_string(lines, ', '));
end
$$;
comment on function pgpipe.input_expression(name[], text) is
    'SQL text: what the model reads of row `t`. A template line whose columns are all empty is left out; null where every column is '
    'empty. Raises PP003 for a template that names another column, or none.';

create or replace function pgpipe.input_texts(columns name[], alias text)
    returns text  immutable strict  set search_path = ''  language sql
as $$
    -- As the model reads them: 1.0 is not 1.00, a collation that ignores case does not count, and json needs no equality.
    select string_agg(format('%s.%I::text collate "C"', alias, c), ', ' order by n) from unnest(columns) with ordinality k (c, n)
$$;
comment on function pgpipe.input_texts(name[], text) is 'SQL text: the input columns of the row `alias` in a form that tells every change.';

create or replace function pgpipe.content_hash(content text)
    returns bytea  immutable strict parallel safe  language sql
as $$ select pg_catalog.sha256(pg_catalog.convert_to(content, 'UTF8')) $$;
comment on function pgpipe.content_hash(text) is 'The hash that says whether a stored vector is of this text (32 bytes).';

create or replace function pgpipe.enable_embedding(
    target regclass, columns name[], model text, dims int, template text default null, name text default 'default')
    returns int  volatile  set search_path = ''  language plpgsql
as $$
declare
    key_columns name[] := pgpipe.key_columns(target);
    schema name := (select n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                     where c.oid = target);
    table_name name := (select c.relname from pg_catalog.pg_class c where c.oid = target);
    store name := pgpipe.derived_name(table_name, case name when 'default' then '_embedding' else '_embedding_' || name end);
    vectors name := pgpipe.vector_schema();
    orphan regclass;
    known pgpipe.embedding;
begin
    if vectors is null then
        raise exception 'vectors need the extension pgvector, which this database lacks' using errcode = 'PP006',
            hint = 'Install it (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`.';
    elsif key_columns is null then
        raise exception '% has no primary key, so its vectors could not be told apart', target using errcode = 'PP007',
            hint = format('Add one: alter table %s add primary key (…)', target);
    elsif name !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'an embedding cannot be called %', quote_literal(name) using errcode = 'PP003',
            hint = 'Up to 40 lower-case letters, digits and _, a letter first: the name becomes part of a table''s name.';
    end if;
    perform pgpipe.require_columns(target, columns);
    template := coalesce(template, (select string_agg('{' || c || '}', E'\n' order by n)
                                      from unnest(columns) with ordinality k (c, n)));
    perform pgpipe.input_expression(columns, template);  -- refuses a template it cannot use
    for orphan in delete from pgpipe.embedding e where not exists (select from pg_catalog.pg_class c where c.oid = e.target)
                  returning e.store loop  -- DROP TABLE … CASCADE took the target and left its store
        if exists (select from pg_catalog.pg_class c where c.oid = orphan) then
            execute format('drop table %s', orphan);
        end if;
    end loop;
    select * into known from pgpipe.embedding e where e.target = enable_embedding.target and e.name = enable_embedding.name;
    if found and (known.columns, known.template, known.model, known.dims) is distinct from (columns, template, model, dims) then
        raise exception '% has an embedding % already: % of % with % dimensions', target, quote_ident(name), known.columns,
            known.model, known.dims using errcode = 'PP004',
            hint = format('Drop it first: select pgpipe.disable_embedding(%L, %L); or give the new one another name.', target, name);
    elsif found then
        return known.embedding_id;
    end if;
    execute format($sql$
        create table %1$I.%2$I (
            %3$s,
            chunk        int not null check (chunk >= 0),       -- 0, 1, … where a long text was split
            char_start   int not null check (char_start >= 0),  -- the passage, in characters of the text
            char_end     int not null check (char_end > char_start),
            content_hash bytea not null,                        -- of the whole text
            model        text not null,
            vector       %4$s not null,
            primary key (%5$s, chunk),
            foreign key (%5$s) references %6$s (%5$s) on update cascade on delete cascade
        )$sql$, schema, store,
        (select string_agg(format('%I %s not null', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' order by k.n)
           from unnest(key_columns) with ordinality k (c, n)
           join pg_catalog.pg_attribute a on a.attrelid = enable_embedding.target and a.attname = k.c),
        format('%I.%s(%s)', vectors, case when dims > 2000 then 'halfvec' else 'vector' end, dims),
        pgpipe.column_list(key_columns), target);
    execute format('alter table %I.%I alter column vector set storage main', schema, store);  -- inline: a scan reads it faster
    insert into pgpipe.embedding (target, name, store, key_columns, columns, template, model, dims, active)
    values (target, name, format('%I.%I', schema, store)::regclass, key_columns, columns, template, model, dims,
            not exists (select from pgpipe.embedding e where e.target = enable_embedding.target and e.active))
    returning * into known;
    perform pgpipe.watch(target);
    perform pgpipe.share(target);
    perform pgpipe.enqueue_all(known.embedding_id);
    return known.embedding_id;
end
$$;
comment on function pgpipe.enable_embedding(regclass, name[], text, int, text, text) is
    'Declares an embedding: creates its store and the triggers of the target, and enqueues every row. Returns its id. Twice is a no-op. '
    'Raises PP002 for an unknown column, PP003 for a bad template, PP004 where another is declared, PP006 without pgvector, '
    'PP007 without a primary key.';

create or replace function pgpipe.disable_embedding(target regclass, name text default 'default')
    returns void  volatile  set search_path = ''  language plpgsql
as $$
declare
    gone pgpipe.embedding;
begin
    -- The table first, as its writers do: a writer that holds one job and waits for another would be in a deadlock with the delete.
    execute format('lock table %s in access exclusive mode', target);
    delete from pgpipe.embedding e where e.target = disable_embedding.target and e.name = disable_embedding.name returning * into gone;
    if found then
        execute format('drop table if exists %s', gone.store);
    end if;
    if not exists (select from pgpipe.embedding e where e.target = disable_embedding.target) then
        perform pgpipe.unwatch(target);
    end if;
end
$$;
comment on function pgpipe.disable_embedding(regclass, text) is
    'Drops an embedding with its store and its jobs, and with the last one the triggers of the target. Twice is a no-op.';

-- The triggers --------------------------------------------------------------------------------------------------------

create or replace function pgpipe.enqueue_changes()
    returns trigger  security definer  set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    for e in select * from pgpipe.embedding x where x.target = tg_relid loop
        if tg_op = 'INSERT' then
            execute format($sql$
                insert into pgpipe.job as j (embedding_id, key) select $1, %s from new_rows n
                on conflict (embedding_id, key) do update
                   set gen = j.gen + 1, attempts = 0, dead_at = null,
                       visible_at = case when j.lease_token is null then excluded.visible_at else j.visible_at end
                $sql$, pgpipe.key_json(e.key_columns, 'n')) using e.embedding_id;
        elsif tg_op = 'UPDATE' then
            -- A changed key is a row that went and a row that came.
            execute format($sql$
                delete from pgpipe.job j using old_rows o
                 where j.embedding_id = $1 and j.key = %1$s
                   and not exists (select from new_rows n where (%2$s) = (%3$s))
                $sql$, pgpipe.key_json(e.key_columns, 'o'), pgpipe.column_list(e.key_columns, 'n'),
                pgpipe.column_list(e.key_columns, 'o')) using e.embedding_id;
            execute format($sql$
                insert into pgpipe.job as j (embedding_id, key)
                select $1, %1$s from new_rows n left join old_rows o on (%2$s) = (%3$s)
                 where o.%4$I is null or (%5$s) is distinct from (%6$s)
                on conflict (embedding_id, key) do update
                   set gen = j.gen + 1, attempts = 0, dead_at = null,
                       visible_at = case when j.lease_token is null then excluded.visible_at else j.visible_at end
                $sql$, pgpipe.key_json(e.key_columns, 'n'), pgpipe.column_list(e.key_columns, 'n'),
                pgpipe.column_list(e.key_columns, 'o'), e.key_columns[1],
                pgpipe.input_texts(e.columns, 'n'), pgpipe.input_texts(e.columns, 'o')) using e.embedding_id;
        elsif tg_op = 'DELETE' then
            execute format('delete from pgpipe.job j using old_rows o where j.embedding_id = $1 and j.key = %s',
                           pgpipe.key_json(e.key_columns, 'o')) using e.embedding_id;
        else  -- TRUNCATE
            delete from pgpipe.job j where j.embedding_id = e.embedding_id;
        end if;
    end loop;
    return null;
end
$$;
comment on function pgpipe.enqueue_changes() is
    'Trigger: one job per row whose key or input columns changed, none for rows that went. It only writes the queue, and never '
    'touches a lease: the worker that holds one finds that gen has moved.';

create or replace function pgpipe.watch(target regclass)
    returns void  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    event text;
begin
    foreach event in array '{insert,update,delete,truncate}'::text[] loop
        execute format('create or replace trigger pgpipe_%1$s after %1$s on %2$s %3$s for each statement '
                       'execute function pgpipe.enqueue_changes()', event, target,
                       case event when 'insert' then 'referencing new table as new_rows'
                                  when 'update' then 'referencing old table as old_rows new table as new_rows'
                                  when 'delete' then 'referencing old table as old_rows' else '' end);
    end loop;
end
$$;
comment on function pgpipe.watch(regclass) is 'Puts the statement triggers on a target, one per event. Twice is a no-op.';

create or replace function pgpipe.unwatch(target regclass)
    returns void  volatile strict  set search_path = ''  language plpgsql
as $$
declare
    watcher name;
begin
    for watcher in select g.tgname from pg_catalog.pg_trigger g
                    where g.tgrelid = target and not g.tgisinternal and g.tgfoid = 'pgpipe.enqueue_changes'::regproc loop
        execute format('drop trigger %I on %s', watcher, target);
    end loop;
end
$$;
comment on function pgpipe.unwatch(regclass) is 'Takes the statement triggers off a target again. Twice is a no-op.';

create or replace function pgpipe.enqueue_all(embedding_id int)
    returns bigint  volatile strict  set search_path = ''
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    enqueued bigint;
begin
    select * into strict e from pgpipe.embedding x where x.embedding_id = enqueue_all.embedding_id;
    execute format('insert into pgpipe.job (embedding_id, key) select $1, %s from %s t on conflict (embedding_id, key) do nothing',
                   pgpipe.key_json(e.key_columns, 't'), e.target) using e.embedding_id;
    get diagnostics enqueued = row_count;
    return enqueued;
end
$$;
comment on function pgpipe.enqueue_all(int) is 'Enqueues every row of an embedding''s target that has no job yet. Returns how many.';
