-- A question in pieces: which of its words stand alone, and what they may be taken for.

create or replace function pgpipe_internal.question_pieces(
    query text, out piece text, out place bigint, out is_word boolean)
    returns setof record  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- What is excluded or in quotes stays as it is, and so do word*, codes and numbers.
    select hit[1], found.place,
           hit[1] ~ '^\w+$' and hit[1] !~ ('[0-9_]|' || pgpipe_internal.unspaced())
      from regexp_matches(query, '(?<!\S)-(?:"[^"]*"|\S+)|"[^"]*"|\w+\*?|[^\w]', 'g')
           with ordinality found (hit, place)
$$;
comment on function pgpipe_internal.question_pieces(text) is
    'A question in pieces, which put together are the question. Bare words are marked.';

create or replace function pgpipe_internal.question_phrases(query text)
    returns text[]  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with word as (
        select lower(found.piece) as word, found.place,
               row_number() over (order by found.place) as n
          from pgpipe_internal.question_pieces(query) found
         where found.piece ~ '^\w+$' order by found.place limit 64
    )
    select coalesce(array_agg(distinct phrase.words), '{}')
      from word first
     cross join generate_series(1, 5) length
     cross join lateral (
           select string_agg(word.word, ' ' order by word.n) as words from word
            where word.n between first.n and first.n + length - 1
           having count(*) = length and max(word.place) - min(word.place) <= 2 * length - 2) phrase
$$;
comment on function pgpipe_internal.question_phrases(text) is
    'The bare words of a question in lower case, and up to five of them that follow each other.';
