-- Batches: what travels between the queue and a worker, a row of it and a passage of a row's text.

create type pgpipe_internal.batch_row as (
    key          jsonb,
    gen          bigint,   -- of the job as it was claimed
    attempts     int,
    content_hash bytea,    -- of the text that the worker read; null if there was none
    fresh        boolean,  -- the store has the vectors of this text for this row
    twin         boolean,  -- it has them for another row
    source       tid,      -- where the first chunk of that other row lies
    outcome      text      -- done, gone, changed, stale, locked; dead if it was not even claimed
);
comment on type pgpipe_internal.batch_row is
    'A job of a batch: what was claimed, and what became of it.';

create type pgpipe_internal.passage as (
    job        int,  -- its number in the batch, from 1
    chunk      int,
    char_start int,
    char_end   int
);
comment on type pgpipe_internal.passage is 'A passage of a job''s text that has a vector.';
