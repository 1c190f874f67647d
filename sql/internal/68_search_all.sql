-- Several targets in one list.

create or replace function pgpipe_internal.searchable_targets()
    returns regclass[]  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce(array_agg(serving.target order by class.relname, serving.target), '{}')
      from pgpipe.search serving
      join pg_catalog.pg_class class on class.oid = serving.target
     where class.relnamespace <> 'pgpipe_staging'::regnamespace
       and has_any_column_privilege(serving.target, 'select')
$$;
comment on function pgpipe_internal.searchable_targets() is
    'The targets with a search column that the caller may read.';

create or replace function pgpipe_internal.list_of_target(
    target regclass, query text, vector jsonb, room int, filter jsonb, fuzzy boolean,
    options jsonb, out hits pgpipe_internal.listed[], out asked text, out corrected text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if jsonb_typeof(vector) is distinct from 'array' or exists (
           select from pgpipe.search known where known.target = list_of_target.target) then
        select found.asked, found.corrected into asked, corrected
          from pgpipe_internal.understand(
                   target, pgpipe_internal.search_languages(target), query, false, fuzzy) found;
    end if;
    if jsonb_typeof(vector) = 'array' then
        hits := pgpipe_internal.list_shared(target, asked, array(
            select part::real from jsonb_array_elements_text(vector) part), room, filter);
    else
        hits := pgpipe_internal.fuse_lists(
            pgpipe_internal.list_text(target, asked, room, filter, false), '{}', room);
    end if;
    hits := pgpipe_internal.arrange_hits(
        target, pgpipe_internal.key_columns(target), hits, options);
end
$$;
comment on function pgpipe_internal.list_of_target(
    regclass, text, jsonb, int, jsonb, boolean, jsonb) is
    'The best rows of one of several targets, scored by shares from 0 to 1 before boosts.';

create or replace function pgpipe_internal.require_targets(
    targets regclass[], vectors jsonb, options jsonb)
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if vectors is not null and (jsonb_typeof(vectors) <> 'array'
           or jsonb_array_length(vectors) is distinct from cardinality(targets)) then
        raise exception 'vectors are a list with one for each of targets, or null in its place'
            using errcode = 'PP003',
            hint = 'Write targets => ''{a, b}'', vectors => ''[[…], null]''.';
    elsif options ? 'order_by' then
        raise exception 'option ''order_by'' is for one target: several are merged by their scores'
            using errcode = 'PP003';
    end if;
end
$$;
comment on function pgpipe_internal.require_targets(regclass[], jsonb, jsonb) is
    'Raises PP003 for vectors that do not fit the targets, and for an order of several.';

create or replace function pgpipe_internal.show_part(
    target regclass, hits pgpipe_internal.listed[], asked text, with_vectors boolean,
    options jsonb)
    returns table (key jsonb, score double precision, text_rank int, vector_rank int, title text,
                   passage text, "row" jsonb, details jsonb)
    stable rows 10  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    declared pgpipe.embedding;
    words tsquery;
begin
    if with_vectors then
        select known.* into declared from pgpipe.embedding known
         where known.target = show_part.target and known.active;
    end if;
    if asked is not null then
        words := pgpipe_internal.asked_words(target, asked);
    end if;
    return query select * from pgpipe_internal.show_hits(
        target, hits, words, declared, options,
        pgpipe_internal.explained_question(options, target, asked, false));
end
$$;
comment on function pgpipe_internal.show_part(
    regclass, pgpipe_internal.listed[], text, boolean, jsonb) is
    'What a caller reads of the rows of one of several targets.';

create or replace function pgpipe_internal.list_all(
    query text, targets regclass[], vectors jsonb, wanted int, filter jsonb, fuzzy boolean,
    options jsonb)
    returns table (target regclass, asked text, corrected text, hit pgpipe_internal.listed,
                   place bigint)
    stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select asked.target, found.asked, found.corrected, hit,
           row_number() over (order by hit.score desc, asked.place, hit.key)
      from unnest(coalesce(targets, pgpipe_internal.searchable_targets()))
           with ordinality asked (target, place)
     cross join lateral pgpipe_internal.list_of_target(
           asked.target, query, vectors -> (asked.place - 1)::int, greatest(100, wanted), filter,
           fuzzy, options) found
     cross join lateral unnest(found.hits) hit
$$;
comment on function pgpipe_internal.list_all(
    text, regclass[], jsonb, int, jsonb, boolean, jsonb) is
    'The best rows of several targets, with their places in one list.';
