-- Adopting vectors that another tool made, for the rows that wait and for their present text.

create or replace function pgpipe_internal.usable_vector(type oid, dims int, value text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    home text := quote_ident(pgpipe_internal.vector_schema());
begin
    if type in ('real[]'::regtype, 'double precision[]'::regtype) then
        return pgpipe_internal.fill(
            'case when array_ndims({value}) = 1 and cardinality({value}) = {dims} '
            'and array_position({value}, null) is null '
            'and not {value} && {strange} then {value}::{home}.vector end',
            jsonb_build_object('value', value, 'dims', dims, 'home', home,
                               'strange', quote_literal('{NaN,Infinity,-Infinity}')));
    elsif type in (to_regtype(home || '.vector'), to_regtype(home || '.halfvec')) then
        return pgpipe_internal.fill(
            'case when {home}.vector_dims({value}) = {dims} then {value}::{home}.vector end',
            jsonb_build_object('value', value, 'dims', dims, 'home', home));
    end if;
    raise exception 'a column of type % holds no vectors', format_type(type, null)
        using errcode = 'PP003',
        hint = 'It must be vector, halfvec, real[] or double precision[].';
end
$$;
comment on function pgpipe_internal.usable_vector(oid, int, text) is
    'SQL text: a value as a vector, or null if it has other dimensions or an element that is not '
    'a number. Raises PP003 for other types.';

create or replace function pgpipe_internal.source_match(
    e pgpipe.embedding, source regclass, source_key name[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.compare(
               pgpipe_internal.column_type_of(source, part.of_source),
               format('source.%I', part.of_source), '=',
               pgpipe_internal.key_value(e.target, part.of_target, 'job.key')),
               ' and ' order by part.place)
      from unnest(source_key, e.key_columns) with ordinality part (of_source, of_target, place)
$$;
comment on function pgpipe_internal.source_match(pgpipe.embedding, regclass, name[]) is
    'SQL text: the row `source` of another table has the key of a job.';

create or replace function pgpipe_internal.foreign_vectors(
    e pgpipe.embedding, source regclass, vector_column name, source_key name[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    home text := quote_ident(pgpipe_internal.vector_schema());
begin
    perform pgpipe_internal.require_columns(source, source_key || vector_column);
    if cardinality(source_key) is distinct from cardinality(e.key_columns) then
        raise exception 'the key of % is (%), and % of its columns were given', e.target,
                        pgpipe_internal.column_list(e.key_columns), cardinality(source_key)
            using errcode = 'PP003', hint = 'Name the column of the source for each of these.';
    end if;
    return pgpipe_internal.fill($sql$
        select distinct on (job.key) job.key, {numbered_key}, input.content,
               case when {home}.vector_norm(given.vector) > 0 then given.vector end as vector
          from unnest($1) job (key)
          join {target} target on {is_key_of_target}
         cross join lateral (select {input} as content) input
          left join {source} source on {is_key_of_source}
         cross join lateral (select {usable} as vector) given
         order by job.key, given.vector is null
        $sql$, jsonb_build_object(
            'numbered_key', pgpipe_internal.numbered_list(e.key_columns, 'target'),
            'home', home, 'target', e.target, 'source', source,
            'is_key_of_target',
                pgpipe_internal.key_match(e.target, e.key_columns, 'target', 'job.key'),
            'input', pgpipe_internal.input_expression(
                e.columns, e.template, pgpipe_internal.present_condition(e), 'target'),
            'usable', pgpipe_internal.usable_vector(
                pgpipe_internal.column_type_of(source, vector_column), e.dims,
                format('source.%I', vector_column)),
            'is_key_of_source', pgpipe_internal.source_match(e, source, source_key)));
end
$$;
comment on function pgpipe_internal.foreign_vectors(pgpipe.embedding, regclass, name, name[]) is
    'SQL text of a query: for keys ($1) the row''s key, its present text, and the vector that '
    'another table or column has for it; null for none, or for one that cannot be used.';

create or replace function pgpipe_internal.sample_foreign(
    embedding_id int, source regclass, vector_column name, source_key name[], size int)
    returns table (key jsonb, content text, vector real[])
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = sample_foreign.embedding_id;
    perform pgpipe_internal.require_no_hidden_rows(e);
    -- In no order, and more than asked for: some may have no vector.
    return query execute format(
        'select found.key, found.content, found.vector::real[] from (%s) found '
        'where found.content is not null and found.vector is not null limit $2',
        pgpipe_internal.foreign_vectors(e, source, vector_column, source_key))
        using array(select job.key from pgpipe.job job
                     where job.embedding_id = e.embedding_id and job.lease_token is null
                     order by random() limit greatest(100 * size, 1000)), size;
end
$$;
comment on function pgpipe_internal.sample_foreign(int, regclass, name, name[], int) is
    'Rows that wait, with their texts and the vectors that would be adopted for them.';

create or replace function pgpipe_internal.adoption(
    e pgpipe.embedding, source regclass, vector_column name, source_key name[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select pgpipe_internal.fill($sql$
        with found as materialized (
            select * from ({found}) known where known.content is not null
               and known.vector is not null
        ), written as (
            insert into {store} as stored ({key_columns}, chunk, char_start, char_end,
                                           content_hash, model, vector)
            select {numbers}, 0, 0, length(found.content),
                   pgpipe_internal.content_hash(found.content), $2, found.vector from found
                on conflict ({key_columns}, chunk) do update
               set char_start = 0, char_end = excluded.char_end, model = excluded.model,
                   content_hash = excluded.content_hash, vector = excluded.vector
        ), pruned as (
            delete from {store} stored using found job where {is_key_of_store} and stored.chunk > 0
        )
        select array(select found.key from found) $sql$, jsonb_build_object(
            'found', pgpipe_internal.foreign_vectors(e, source, vector_column, source_key),
            'store', e.store, 'key_columns', pgpipe_internal.column_list(e.key_columns),
            'numbers', pgpipe_internal.number_list(e.key_columns, 'found'),
            'is_key_of_store', pgpipe_internal.key_match(
                e.target, e.key_columns, 'stored', 'job.key')))
$$;
comment on function pgpipe_internal.adoption(pgpipe.embedding, regclass, name, name[]) is
    'SQL text of a statement: it writes the usable vectors for keys ($1) into the store, as of a '
    'model ($2), and returns the keys of their rows.';

create or replace function pgpipe_internal.adopt_vectors(
    embedding_id int, source regclass, vector_column name, source_key name[], after jsonb,
    max_rows int, out examined int, out adopted int, out last jsonb)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
    keys jsonb[];
begin
    select * into strict e from pgpipe.embedding known
     where known.embedding_id = adopt_vectors.embedding_id;
    perform pgpipe_internal.require_no_hidden_rows(e);
    -- Jobs first: a row that changes meanwhile is enqueued again, once this has committed.
    keys := array(select job.key from pgpipe.job job
                   where job.embedding_id = e.embedding_id and job.lease_token is null
                     and (adopt_vectors.after is null or job.key > adopt_vectors.after)
                   order by job.key limit max_rows for update skip locked);
    examined := cardinality(keys);
    last := keys[examined];
    execute pgpipe_internal.adoption(e, source, vector_column, source_key)
       into keys using keys, e.model;
    delete from pgpipe.job job
     where job.embedding_id = e.embedding_id and job.key = any (keys);
    adopted := cardinality(keys);
end
$$;
comment on function pgpipe_internal.adopt_vectors(
    int, regclass, name, name[], jsonb, int) is
    'Takes vectors for up to `max_rows` rows that wait, from the key `after` on, into the store. '
    'Their jobs are done. Rows without a usable vector go on waiting. `last` is where it came to.';
