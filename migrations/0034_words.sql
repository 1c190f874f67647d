-- Words as they were written, for corrections and completions: pgpipe.lexeme has stems.

create table pgpipe.word (
    target    regclass not null references pgpipe.search on delete cascade,
    word      text collate "C" not null,  -- in lower case; so that the primary key finds beginnings
    documents real not null check (documents > 0),  -- as in pgpipe.lexeme
    primary key (target, word)
);
comment on table pgpipe.word is
    'Words of the searched columns of a target as they were written, and how many documents hold '
    'each. A question is corrected by them.';
create index word_common on pgpipe.word (target, documents desc);

-- As the lexemes, but they show what single columns hold: who may not read all columns that are
-- searched, and all rows, does not read the words. One array for a query, not a test for each word.
alter table pgpipe.word enable row level security;
create policy reader on pgpipe.word
    using (target = any (array(
        select serving.target from pgpipe.search serving
         where not row_security_active(serving.target)
           and has_any_column_privilege(serving.target, 'select')
           and not exists (
               select from pg_catalog.pg_attribute col
                where col.attrelid = serving.target and col.attnum > 0 and not col.attisdropped
                  and serving.weights ? col.attname::text
                  and not has_column_privilege(col.attrelid, col.attnum, 'select')))));
