-- requires: vector
-- What a search takes from an index that holds less than the store does, to compare it in full.

create or replace function pgpipe_internal.index_candidates(holds text, wanted int)
    returns int  immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Half the precision may swap neighbours. A bit of each dimension orders them roughly.
    select case holds when 'bit' then 8 * wanted + 100 when 'half' then wanted + 10
                          else wanted end
$$;
comment on function pgpipe_internal.index_candidates(text, int) is
    'How many an index of this precision is asked for, to be compared in full, if so many chunks '
    'are wanted.';

create or replace function pgpipe_internal.candidate_rows(
    declared pgpipe.embedding, holds text, source text, question text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('(select store.* from %s order by (%s) operator(%I.%s) %s limit $3) store',
                  source, pgpipe_internal.indexed_vector(declared, holds, 'store.vector'),
                  pgpipe_internal.vector_schema(),
                  case holds when 'bit' then '<~>' else '<=>' end,
                  pgpipe_internal.indexed_vector(declared, holds, question))
$$;
comment on function pgpipe_internal.candidate_rows(pgpipe.embedding, text, text, text) is
    'SQL text: the $3 rows of `source` that are nearest by what the index holds.';

create or replace function pgpipe_internal.asked_vector(declared pgpipe.embedding)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('$1::%I.%s', pgpipe_internal.vector_schema(),
                  case declared.store_precision when 'half' then 'halfvec' else 'vector' end)
$$;
comment on function pgpipe_internal.asked_vector(pgpipe.embedding) is
    'SQL text: the vector $1 in the type of the store.';
