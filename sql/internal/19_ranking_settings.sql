-- Settings of ranking: what a target declares, and what a search tries in their place.

create or replace function pgpipe_internal.refuse_ranking(ranking jsonb)
    returns void  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known constant text[] := '{k1,b,weights,text_weight,vector_weight}';
    wrong text;
begin
    if jsonb_typeof(ranking) <> 'object' then
        raise exception 'a ranking is a JSON object, not %', jsonb_typeof(ranking)
            using errcode = 'PP003', hint = 'Write {"k1": 1.2, "b": 0.75}.';
    end if;
    select given into wrong from jsonb_object_keys(ranking) given where given <> all (known);
    if found then
        raise exception 'no setting of ranking is called %', quote_literal(wrong)
            using errcode = 'PP003',
            hint = format('There are %s.', array_to_string(known, ', '));
    elsif coalesce(jsonb_typeof(ranking -> 'weights'), 'object') <> 'object' then
        raise exception 'the weights of a ranking are a JSON object' using errcode = 'PP003',
            hint = 'Write {"weights": {"A": 2, "B": 1}}.';
    end if;
    select format('%s is %s', given.name, given.value) into wrong
      from (select part.key as name, part.value, part.key ~ '^[ABCD]$' as known
              from jsonb_each(coalesce(ranking -> 'weights', '{}')) part
             union all
            select part.key, part.value, true from jsonb_each(ranking - 'weights') part) given
     where not given.known or jsonb_typeof(given.value) <> 'number';
    if found then
        raise exception 'settings of ranking are numbers, and weights are of A, B, C and D: %',
            wrong using errcode = 'PP003';
    end if;
end
$$;
comment on function pgpipe_internal.refuse_ranking(jsonb) is
    'Raises PP003 for a ranking that is not an object of the settings there are.';

create or replace function pgpipe_internal.with_ranking(declared pgpipe.search, ranking jsonb)
    returns pgpipe.search  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if ranking is not null then
        perform pgpipe_internal.refuse_ranking(ranking);
        declared.k1 := coalesce((ranking ->> 'k1')::float8, declared.k1);
        declared.b := coalesce((ranking ->> 'b')::float8, declared.b);
        declared.text_weight := coalesce(
            (ranking ->> 'text_weight')::float8, declared.text_weight);
        declared.vector_weight := coalesce(
            (ranking ->> 'vector_weight')::float8, declared.vector_weight);
        declared.occurrences := array(
            select coalesce((ranking -> 'weights' ->> letter)::float8, declared.occurrences[place])
              from unnest('{D,C,B,A}'::text[]) with ordinality known (letter, place)
             order by place);
    end if;
    return declared;
end
$$;
comment on function pgpipe_internal.with_ranking(pgpipe.search, jsonb) is
    'A declared search with other settings of ranking. Raises PP003 for one that does not exist.';

create or replace function pgpipe_internal.keep_ranking(serving pgpipe.search)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.search known
       set k1 = serving.k1, b = serving.b, occurrences = serving.occurrences,
           text_weight = serving.text_weight, vector_weight = serving.vector_weight
     where known.target = serving.target
$$;
comment on function pgpipe_internal.keep_ranking(pgpipe.search) is
    'Sets what the target of a search ranks by to what that search had.';
