-- Which columns the condition of an embedding names. Its text still has the name of one that is
-- renamed or dropped later, and nothing else tells that from a word of SQL.

alter table pgpipe.embedding add column condition_columns name[] not null default '{}';
comment on column pgpipe.embedding.condition_columns is
    'The columns of the table that the condition names. Empty in a declaration of before.';
