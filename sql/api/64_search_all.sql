-- Several targets in one list.

create or replace function pgpipe.search_all(
    query text, targets regclass[] default null, k int default 10, filter jsonb default null,
    skip int default 0, vectors jsonb default null, fuzzy boolean default true,
    options jsonb default null)
    returns table (target regclass, key jsonb, score double precision, text_rank int,
                   vector_rank int, title text, passage text, "row" jsonb, corrected text,
                   details jsonb)
    stable rows 10
    set search_path = pg_catalog, pg_temp set jit = off
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
#variable_conflict use_column
declare
    chosen constant jsonb := pgpipe_internal.search_options(options);
begin
    perform pgpipe_internal.require_page(k, skip);
    perform pgpipe_internal.require_targets(targets, vectors, chosen);
    return query
    with listed as materialized (
        select * from pgpipe_internal.list_all(query, targets, vectors, k + skip, filter, fuzzy,
                                               chosen)
    ), page as (
        select listed.target, listed.asked, listed.corrected,
               array_agg(listed.hit order by listed.place) as hits,
               array_agg(listed.place order by listed.place) as places
          from listed where listed.place > skip and listed.place <= skip + k group by 1, 2, 3
    )
    select page.target, shown.key, shown.score, shown.text_rank, shown.vector_rank, shown.title,
           shown.passage, shown."row", page.corrected, shown.details
      from page
     cross join lateral pgpipe_internal.show_part(
           page.target, page.hits, page.asked, vectors is not null, chosen)
           with ordinality shown
     order by page.places[shown.ordinality];
end
$$;
comment on function pgpipe.search_all(
    text, regclass[], int, jsonb, int, jsonb, boolean, jsonb) is
    'The k best rows of several targets by their words, after the first `skip`; all searchable '
    'ones that the caller may read if none are named. The score is a share from 0 to 1, as of '
    'hybrid_search: 1 is the best of its target. `vectors` is a list with the vector of the '
    'question for each of `targets`, or null in its place: such a target is searched by words and '
    'meaning. The filter must fit all of them. Other columns, and `options` but "order_by", are as '
    'for searches. '
    'Example: select target, key, score, title from pgpipe.search_all(''compress'', ''{article}'')';
