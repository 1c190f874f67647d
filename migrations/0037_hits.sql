-- Hits: a list of rows that answer a question, as it travels through a search, and their title.

create type pgpipe_internal.listed as (
    key          jsonb,
    score        double precision,  -- that the list is ordered by
    text_score   double precision,  -- BM25F
    text_rank    int,
    text_share   double precision,  -- from 0, the last of the list or less, to 1, its best
    vector_score double precision,  -- cosine similarity
    vector_rank  int,
    vector_share double precision,
    content_hash bytea,             -- of the text that the best chunk is a part of
    char_start   int,
    char_end     int,
    boosts       jsonb              -- what each column added
);
comment on type pgpipe_internal.listed is 'A row in a list of answers, before it is shown.';

alter table pgpipe.search add column title name;
comment on column pgpipe.search.title is
    'The column whose text is the title of a hit; if null, the first column of weight A.';
