-- What ranking by words is set to; docs/ranking.md explains it.

drop function if exists pgpipe_internal.ranking();
create or replace function pgpipe_internal.ranking(
    out whole_limit int, out strong_rows int, out match_limit int, out score_limit int,
    out filter_cost float8, out common_words int, out most_words int, out beginnings int)
    immutable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select
        5000,    -- Words that stand in at most so many rows together are read whole.
        2500,    -- So many rows are read, about, of two or three common words.
        20000,   -- So many rows are looked at in any case, as of a small table or a narrow filter.
        500,     -- So many of them, the best by a rough score, get the exact one.
        50000,   -- A filter that costs less, in the planner's units, is followed to its end.
        10,      -- So many common words of a question, the rarest of them, are looked for.
        128,     -- Of a long question so many words are used, the rarest that occur at all.
        20       -- For the beginning of a word so many words score that begin so.
$$;
comment on function pgpipe_internal.ranking() is
    'What ranking by words is set to.';
