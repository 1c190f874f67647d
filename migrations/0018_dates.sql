-- Dates: which ones the source has, and which of them a rollback took out of a target.

alter table pgpipe.load
    add column replaced date,  -- the newest date that this load of a snapshot rolled back
    add constraint load_replaced check (replaced is null or mode = 'snapshot' and replaced > date);

create table pgpipe.source_date (
    schema  name not null default 'public',  -- of the target
    entity  text not null,
    dates   date[] not null,  -- complete ones, of the newest ones of the source
    seen_at timestamptz not null default now(),
    primary key (entity, schema)
);
comment on table pgpipe.source_date is
    'Which dates the source had of an entity when a load last looked.';
