-- Change files: rows that say that a key is gone, and rows that a later one of their key replaces.

alter table pgpipe.load
    add column superseded bigint not null default 0,  -- of those read, by a later change of the key
    add column deletes bigint not null default 0,  -- of those read, that say that a row is gone
    drop constraint load_counts_positive,
    drop constraint load_counts_add_up,
    add constraint load_counts_positive
        check (least(read, inserted, updated, deleted, unchanged, rejected, left_out, superseded,
                     deletes) >= 0) not valid,
    add constraint load_counts_add_up
        check (error is not null
               or read = inserted + updated + unchanged + rejected + left_out + superseded
                         + deletes) not valid;

create table pgpipe.tombstone (
    schema   name not null,
    entity   text not null,
    key      jsonb not null check (jsonb_typeof(key) = 'object'),  -- {"id": 7}
    position jsonb not null check (jsonb_typeof(position) = 'object'),  -- {"updated_at": "..."}
    date     date not null,  -- of the files that deleted it
    primary key (schema, entity, key)
);
comment on table pgpipe.tombstone is
    'Keys that change files deleted, with the values of the `order` columns: an older change that '
    'comes late does not bring the row back. A newer row of the key takes its tombstone away, and '
    'so do 90 days of files.';
