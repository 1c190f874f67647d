-- Impacts: how much a word counts in a row by BM25F, in steps. An index of them finds the rows in
-- which a common word is strong, without reading all that hold it.

create or replace function pgpipe_internal.impacts_1(document tsvector, mean_length float8)
    returns tsvector
    immutable strict parallel safe  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
-- Never change this function: indexes hold its values. Another rule is another function, impacts_2.
declare
    written constant text := document::text;
    norm constant float8 := 0.3 + 0.9 / mean_length * (  -- positions are set off by commas
        length(document) + length(written) - length(replace(written, ',', '')));
    steps constant float8[] := '{1, 1.5, 2.25, 3.375, 5.0625, 7.59375, 11.390625, 17.0859375,
        25.62890625, 38.443359375}';
    single constant text[] := array[  -- a word that occurs once, in a column of weight D, C, B, A
        chr(31) || chr(96 + nullif(width_bucket(0.5 / norm, steps), 0)),
        chr(31) || chr(96 + nullif(width_bucket(0.75 / norm, steps), 0)),
        chr(31) || chr(96 + nullif(width_bucket(1.0 / norm, steps), 0)),
        chr(31) || chr(96 + nullif(width_bucket(1.5 / norm, steps), 0))];
begin
    return coalesce((
        select array_to_tsvector(array_agg(case
                   when cardinality(word.positions) = 1
                   then word.lexeme || single[69 - ascii(word.weights[1])]
                   else word.lexeme || chr(31) || chr(96 + width_bucket((
                            0.5::float8 * cardinality(word.positions)
                            + 0.25::float8 * cardinality(array_positions(word.weights, 'C'))
                            + 0.5::float8 * cardinality(array_positions(word.weights, 'B'))
                            + cardinality(array_positions(word.weights, 'A'))) / norm, steps))
                   end))
          from unnest(document) word
         where case when cardinality(word.positions) = 1
                    then single[69 - ascii(word.weights[1])] is not null
                    else cardinality(word.positions) >= norm end), '');
end
$$;
comment on function pgpipe_internal.impacts_1(tsvector, float8) is
    'The strong words of a document, each with its step: word, chr(31), and a letter from a to j. '
    'Of step n the frequency over the length, by BM25F, is at least 1.5 ^ (n - 1).';

create or replace function pgpipe_internal.impacts_expression(
    column_name name, mean_length float8)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('pgpipe_internal.impacts_1(%I, %s)', column_name,
                  round(mean_length::numeric, 1))
$$;
comment on function pgpipe_internal.impacts_expression(name, float8) is
    'SQL text: the impacts of a search column, whose rows have so many words on average when the '
    'index is built. Later ones may be longer or shorter.';

create or replace function pgpipe_internal.impacts_index(target regclass, column_name name)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select min(pg_get_expr(index.indexprs, index.indrelid)) from pg_catalog.pg_index index
     where index.indrelid = target and index.indisvalid and index.indnatts = 1
       and index.indexprs is not null and index.indpred is null
       and pg_get_expr(index.indexprs, index.indrelid) ^@ format(
               'pgpipe_internal.impacts_1(%s, ', quote_ident(column_name))
$$;
comment on function pgpipe_internal.impacts_index(regclass, name) is
    'SQL text: the expression of the index that holds the impacts of a search column. Null if '
    'the table lacks that index.';
