-- Embeddings: declaring them, where their vectors lie, and which of them search uses.

create or replace function pgpipe_internal.create_store(target regclass, store text, key_columns name[], dims int)
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
            primary key (%4$s, chunk)
        )$sql$, store,
        (select string_agg(format('%I %s not null', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' order by k.n)
           from unnest(key_columns) with ordinality k (c, n)
           join pg_catalog.pg_attribute a on a.attrelid = create_store.target and a.attname = k.c),
        format('%I.%s(%s)', pgpipe_internal.vector_schema(), case when dims > 2000 then 'halfvec' else 'vector' end, dims),
        pgpipe_internal.column_list(key_columns));
    execute format('alter table %s alter column vector set storage main', store);  -- inline: a scan reads it faster
    execute format('create index on %s (content_hash) where chunk = 0', store);    -- an equal text is not embedded twice
    execute format('alter table %s owner to %s', store,
                   (select c.relowner::regrole from pg_catalog.pg_class c where c.oid = create_store.target));
    return store::regclass;
end
$$;
comment on function pgpipe_internal.create_store(regclass, text, name[], int) is
    'Creates the table of an embedding''s vectors. No foreign key ties it to the target: nothing that is done to the '
    'target is refused for its sake.';

create or replace function pgpipe_internal.repair_store(e pgpipe.embedding)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    change text;
begin
    if not pgpipe_internal.is_store(e.store, e)
       or not (select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class where class.oid = e.store) then
        return;
    end if;
    for change in
        select format('drop constraint %I', tie.conname) from pg_catalog.pg_constraint tie
         where tie.conrelid = e.store and tie.contype = 'f' and tie.confrelid = e.target and tie.conparentid = 0
        union all  -- a cast of a user's type, or a CHECK of the store's owner, would run as the caller
        select format('alter column %I type %s', own.attname, pg_catalog.format_type(key.atttypid, key.atttypmod))
          from pg_catalog.pg_attribute key
          join pg_catalog.pg_attribute own on own.attrelid = e.store and own.attname = key.attname
         where key.attrelid = e.target and key.attname = any (e.key_columns)
           and (key.atttypid, key.atttypmod) is distinct from (own.atttypid, own.atttypmod)
           and pgpipe_internal.is_builtin(key.atttypid) and pgpipe_internal.is_builtin(own.atttypid)
           and not pgpipe_internal.runs_code(e.store)
    loop
        execute format('alter table %s %s', e.store, change);
    end loop;
end
$$;
comment on function pgpipe_internal.repair_store(pgpipe.embedding) is
    'Takes the foreign key off a store that an earlier version made, and gives its key the types that the key of the '
    'target has now. For the owner of the store; it does nothing for others.';

create or replace function pgpipe_internal.is_store(relation regclass, e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Whoever could make another table look so owns both, and may drop it or grant rights on it anyway.
    select exists (
        select from pg_catalog.pg_class c
          left join pg_catalog.pg_class t on t.oid = e.target
         where c.oid = relation and c.relkind = 'r' and (t.oid is null or t.relowner = c.relowner)
           and pgpipe_internal.key_columns(relation) = e.key_columns || '{chunk}'::name[]
           and (select count(*) from (values ('chunk', 'int4'), ('char_start', 'int4'), ('char_end', 'int4'), ('content_hash', 'bytea'),
                                             ('model', 'text')) w (name, type)
                 where pgpipe_internal.column_type_of(relation, w.name) = to_regtype('pg_catalog.' || w.type)) = 5
           and pgpipe_internal.column_type_of(relation, 'vector') in (
               select y.oid from pg_catalog.pg_type y join pg_catalog.pg_namespace n on n.oid = y.typnamespace
                where n.nspname = pgpipe_internal.vector_schema() and y.typname in ('vector', 'halfvec')))
$$;
comment on function pgpipe_internal.is_store(regclass, pgpipe.embedding) is
    'Whether the catalogue shows a table to be the store of an embedding. It looks at its columns '
    'and key, and at the owner of the target, unless that is gone.';

create or replace function pgpipe_internal.is_filter_table(relation regclass, e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_class c left join pg_catalog.pg_class s on s.oid = e.store
         where c.oid = relation and c.relkind = 'r' and (s.oid is null or s.relowner = c.relowner)
           and pgpipe_internal.key_columns(relation) = e.key_columns || '{chunk}'::name[]
           and pgpipe_internal.column_type_of(relation, 'vector') in (
               select y.oid from pg_catalog.pg_type y join pg_catalog.pg_namespace n on n.oid = y.typnamespace
                where n.nspname = pgpipe_internal.vector_schema() and y.typname = 'halfvec')
           and (s.oid is null or exists (select from pg_catalog.pg_constraint k
                                          where k.conrelid = c.oid and k.contype = 'f' and k.confrelid = s.oid)))
$$;
comment on function pgpipe_internal.is_filter_table(regclass, pgpipe.embedding) is
    'Whether the catalogue shows a table to be the filter table of an embedding.';

create or replace function pgpipe_internal.check_declaration()
    returns trigger  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe_internal.is_store(new.store, new) then
        raise exception '% is not the store of an embedding of %', new.store, new.target using errcode = '42501',
            hint = 'pgpipe.enable_embedding makes it; nobody else has to.';
    elsif new.filter_table is not null and not pgpipe_internal.is_filter_table(new.filter_table, new) then
        raise exception '% is not the filter table of an embedding of %', new.filter_table, new.target using errcode = '42501',
            hint = 'pgpipe.enable_filters makes it; nobody else has to.';
    elsif tg_op = 'INSERT' then  -- later only its owner may change the condition
        perform pgpipe_internal.checked_condition(new.target, new.condition);
    end if;
    return new;
end
$$;
comment on function pgpipe_internal.check_declaration() is
    'Trigger on pgpipe.embedding: what is called a store or a filter table is one, and a '
    'condition is one that checked_condition passes. So nothing that drops such a table, or '
    'grants rights on it, ever meets another.';

create or replace trigger check_declaration before insert or update of target, store, filter_table, key_columns on pgpipe.embedding
    for each row execute function pgpipe_internal.check_declaration();

create or replace function pgpipe_internal.drop_table(relation regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if exists (select from pg_catalog.pg_class c where c.oid = relation and pg_has_role(c.relowner, 'usage')) then
        execute format('drop table %s', relation);
    end if;
end
$$;
comment on function pgpipe_internal.drop_table(regclass) is 'Drops a table that pgpipe made, where nobody else has, as its owner.';

create or replace function pgpipe_internal.drop_orphaned_embeddings()
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    gone pgpipe.embedding;
begin
    for gone in delete from pgpipe.embedding e where not exists (select from pg_catalog.pg_class c where c.oid = e.target)
                returning * loop
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
comment on function pgpipe_internal.require_embedding(regclass, text) is
    'The embedding of that name, the active one where none is named. Raises PP008, naming those it has.';
