-- Stores: the tables that hold the vectors of embeddings.

create or replace function pgpipe_internal.owns(relation regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_class class
                    where class.oid = relation and pg_has_role(class.relowner, 'usage'))
$$;
comment on function pgpipe_internal.owns(regclass) is
    'Whether the caller has the rights of the owner of a table; false if it is gone.';

create or replace function pgpipe_internal.store_name(target regclass, embedding text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('%s.%I', class.relnamespace::regnamespace, pgpipe_internal.derived_name(
               class.relname, '_embedding' || case embedding when 'default' then ''
                                              else '_' || embedding end))
      from pg_catalog.pg_class class where class.oid = store_name.target
$$;
comment on function pgpipe_internal.store_name(regclass, text) is
    'The name of the store of an embedding: it lies in the schema of the target.';

create or replace function pgpipe_internal.require_free_name(target regclass, store text)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if to_regclass(store) is not null or to_regtype(store) is not null then
        raise exception 'the name % is taken, which the vectors of % need', store, target
            using errcode = 'PP004',
            hint = 'Rename what has it, or give the embedding another name: name => ''second''.';
    end if;
end
$$;
comment on function pgpipe_internal.require_free_name(regclass, text) is
    'Raises PP004 if a table, an index or a type has the name of a store already.';

create or replace function pgpipe_internal.stored_precision(
    known pgpipe.embedding, dims int, wanted text)
    returns text  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Full precision of more dimensions cannot be indexed.
    select case when dims > 2000 then 'half'
                else coalesce(wanted, known.store_precision, 'full') end
$$;
comment on function pgpipe_internal.stored_precision(pgpipe.embedding, int, text) is
    'In which precision the store of an embedding is, or is to be: as wanted, else as it is.';

drop function if exists pgpipe_internal.create_store(regclass, text, name[], int);
create or replace function pgpipe_internal.create_store(
    target regclass, store text, key_columns name[], dims int, store_precision text)
    returns regclass  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.require_free_name(target, store);
    execute format($sql$
        create table %1$s (
            %2$s,
            chunk        int not null check (chunk >= 0),  -- 0, 1, … where a long text was split
            -- The passage, in characters of the text.
            char_start   int not null check (char_start >= 0),
            char_end     int not null check (char_end > char_start),
            content_hash bytea not null,  -- of the whole text
            model        text not null,
            vector       %3$s not null,
            primary key (%4$s, chunk)
        )$sql$, store,
        (select string_agg(format('%I %s not null', item.attname,
                                  pg_catalog.format_type(item.atttypid, item.atttypmod)),
                           ', ' order by key.place)
           from unnest(key_columns) with ordinality key (name, place)
           join pg_catalog.pg_attribute item
             on item.attrelid = create_store.target and item.attname = key.name),
        format('%I.%s(%s)', pgpipe_internal.vector_schema(),
               case store_precision when 'half' then 'halfvec' else 'vector' end, dims),
        pgpipe_internal.column_list(key_columns));
    -- Inline: a scan reads it faster.
    execute format('alter table %s alter column vector set storage main', store);
    -- An equal text is not embedded twice.
    execute format('create index on %s (content_hash) where chunk = 0', store);
    execute format('alter table %s owner to %s', store,
                   (select class.relowner::regrole from pg_catalog.pg_class class
                     where class.oid = create_store.target));
    perform pgpipe_internal.distribute_beside(store::regclass, target);
    return store::regclass;
end
$$;
comment on function pgpipe_internal.create_store(regclass, text, name[], int, text) is
    'Creates the table of an embedding''s vectors. No foreign key ties it to the target: nothing '
    'that is done to the target is refused for its sake.';

create or replace function pgpipe_internal.repair_store(e pgpipe.embedding)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    change text;
begin
    if not pgpipe_internal.is_store(e.store, e) or not pgpipe_internal.owns(e.store) then
        return;
    end if;
    for change in
        select format('drop constraint %I', tie.conname) from pg_catalog.pg_constraint tie
         where tie.conrelid = e.store and tie.contype = 'f' and tie.confrelid = e.target
           and tie.conparentid = 0
        union all
        -- A cast of a user's type, or a CHECK of the store's owner, would run as the caller.
        select format('alter column %I type %s', own.attname,
                      pg_catalog.format_type(key.atttypid, key.atttypmod))
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
    'Takes the foreign key off a store that an earlier version made, and gives its key the types '
    'that the key of the target has now. It does nothing if the caller does not own the store.';

create or replace function pgpipe_internal.is_store(relation regclass, e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Only the owner of both could make another table look so, and he may drop it or grant rights
    -- on it anyway.
    select exists (
        select from pg_catalog.pg_class class
          left join pg_catalog.pg_class owned on owned.oid = e.target
         where class.oid = relation and class.relkind = 'r'
           and (owned.oid is null or owned.relowner = class.relowner)
           and pgpipe_internal.key_columns(relation) = e.key_columns || '{chunk}'::name[]
           and (select count(*)
                  from (values ('chunk', 'int4'), ('char_start', 'int4'), ('char_end', 'int4'),
                               ('content_hash', 'bytea'), ('model', 'text')) wanted (name, type)
                 where pgpipe_internal.column_type_of(relation, wanted.name)
                       = to_regtype('pg_catalog.' || wanted.type)) = 5
           and pgpipe_internal.column_type_of(relation, 'vector') in (
               select kind.oid from pg_catalog.pg_type kind
                 join pg_catalog.pg_namespace home on home.oid = kind.typnamespace
                where home.nspname = pgpipe_internal.vector_schema()
                  and kind.typname in ('vector', 'halfvec')))
$$;
comment on function pgpipe_internal.is_store(regclass, pgpipe.embedding) is
    'Whether the catalogue shows a table to be the store of an embedding. It looks at its columns '
    'and key, and at the owner of the target, unless that is gone.';

create or replace function pgpipe_internal.is_filter_table(relation regclass, e pgpipe.embedding)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (
        select from pg_catalog.pg_class class
          left join pg_catalog.pg_class store on store.oid = e.store
         where class.oid = relation and class.relkind = 'r'
           and (store.oid is null or store.relowner = class.relowner)
           and pgpipe_internal.key_columns(relation) = e.key_columns || '{chunk}'::name[]
           and pgpipe_internal.column_type_of(relation, 'vector') in (
               select kind.oid from pg_catalog.pg_type kind
                 join pg_catalog.pg_namespace home on home.oid = kind.typnamespace
                where home.nspname = pgpipe_internal.vector_schema()
                  and kind.typname = 'halfvec')
           and (store.oid is null
                or exists (select from pg_catalog.pg_constraint tie
                            where tie.conrelid = class.oid and tie.contype = 'f'
                              and tie.confrelid = store.oid)))
$$;
comment on function pgpipe_internal.is_filter_table(regclass, pgpipe.embedding) is
    'Whether the catalogue shows a table to be the filter table of an embedding.';

create or replace function pgpipe_internal.drop_table(relation regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if pgpipe_internal.owns(relation) then
        execute format('drop table %s', relation);
    end if;
end
$$;
comment on function pgpipe_internal.drop_table(regclass) is
    'Drops a table that pgpipe made. It does nothing if the caller does not own it, or if it is '
    'gone.';
