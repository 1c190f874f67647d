-- Suggestions while somebody types.

create or replace function pgpipe.suggest(target regclass, prefix text, k int default 10)
    returns table (suggestion text, kind text, "rows" bigint)
    volatile rows 10  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    typed constant text := ltrim(prefix);
    beginning constant text := lower(substring(typed from '(\w+)$'));
    titles text[] := '{}';
begin
    perform pgpipe_internal.require_page(k, 0);
    perform pgpipe_internal.require_search(target);
    if coalesce(typed, '') = '' then
        return;
    end if;
    titles := pgpipe_internal.suggest_titles(target, typed, k);
    return query
    with found as (
        select left(typed, length(typed) - length(beginning)) || word.word as suggestion,
               'word' as kind, round(word.documents)::bigint as rows, word.n
          from pgpipe_internal.suggest_words(target, beginning, k)
               with ordinality word (word, documents, n)
         where pgpipe_internal.shows_words(target)
        union all
        select each.title, 'title', null, each.n
          from unnest(titles) with ordinality each (title, n)
    ), best as (  -- half of each, unless one kind has fewer
        select * from found order by found.n, found.kind desc limit k
    )
    select best.suggestion, best.kind, best.rows from best order by best.kind desc, best.n;
end
$$;
comment on function pgpipe.suggest(regclass, text, int) is
    'What may be meant by what is typed so far: completions of its last word, the commonest first, '
    'with about how many rows hold it, and titles that begin so. A large table needs an index for '
    'titles, see docs/search.md. Words come from pgpipe.word, which is as old as the last count. '
    'Example: select suggestion, kind from pgpipe.suggest(''article'', ''how to com'')';
