-- Jobs of one statement become ready one after the other, so that a claim can start where the last
-- one ended, and need not step over all that was finished before.

alter table pgpipe.job alter column visible_at set default clock_timestamp();
