-- The queue of a distributed target: rows are asked for by their keys, and none is locked. Its
-- templates, distributed_*.sql, take the place of those of the same name.

create or replace function pgpipe_internal.require_plain_key(e pgpipe.embedding)
    returns void  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    unfit name := (
        select min(part.name) from unnest(e.key_columns) part (name)
         cross join lateral (
               select pgpipe_internal.base_type(
                          pgpipe_internal.column_type_of(e.target, part.name)) as type) known
         where not pgpipe_internal.is_builtin(known.type)
            or pgpipe_internal.element_type(known.type) is not null);
begin
    if unfit is not null then
        raise exception '% is distributed, and the type of % in its key is an array, or not one of '
                        'PostgreSQL''s own', e.target, quote_ident(unfit)
            using errcode = 'PP022',
            hint = 'Use a plain type, such as text or bigint, for the key.';
    end if;
end
$$;
comment on function pgpipe_internal.require_plain_key(pgpipe.embedding) is
    'Raises PP022 for a key of a distributed table whose values cannot be sent as an array.';

create or replace function pgpipe_internal.batch_parts(e pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
        'keys_of_batch', string_agg(
            format('key_%s %s[] := array(select distinct %s from unnest(batch) job);', part.place,
                   pg_catalog.format_type(known.type, -1), value.text),
            E'\n    ' order by part.place),
        'target_is_of_batch', string_agg(
            format('target.%I = any (key_%s)', part.name, part.place), ' and '
            order by part.place),
        'store_is_of_batch', string_agg(
            format('stored.%I = any (key_%s)', part.name, part.place), ' and '
            order by part.place))
      from unnest(e.key_columns) with ordinality part (name, place)
     cross join lateral (
           select pgpipe_internal.base_type(
                      pgpipe_internal.column_type_of(e.target, part.name)) as type) known
     cross join lateral pgpipe_internal.key_value(e.target, part.name, 'job.key') value (text)
$$;
comment on function pgpipe_internal.batch_parts(pgpipe.embedding) is
    'The parts of the templates of a distributed target: the values of the keys of a batch, column '
    'by column, and the rows that may be meant by them.';

create or replace function pgpipe_internal.distributed_parts(e pgpipe.embedding)
    returns jsonb  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if not pgpipe_internal.is_distributed(e.target) then
        return '{}';
    end if;
    perform pgpipe_internal.require_plain_key(e);
    return pgpipe_internal.batch_parts(e);
end
$$;
comment on function pgpipe_internal.distributed_parts(pgpipe.embedding) is
    'The parts that only the templates of a distributed target have; none for any other target. '
    'Raises PP022 for a key that they cannot use.';

create or replace function pgpipe_internal.queue_templates(e pgpipe.embedding)
    returns table (name text, routine text, purpose text)
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select distinct on (made.name) known.name, format('%s_%s', made.name, e.embedding_id),
           substring(known.body from '^-- (.*?)\n')
      from pgpipe.template known
     cross join lateral (select regexp_replace(known.name, '^distributed_', '') as name) made
     where known.body ~ 'function pgpipe_target\.\w+_\{embedding\}'
       and (known.name = made.name or pgpipe_internal.is_distributed(e.target))
     order by made.name, known.name <> made.name desc
$$;
comment on function pgpipe_internal.queue_templates(pgpipe.embedding) is
    'The templates of the functions of a queue, what these are called, and what they are for.';
