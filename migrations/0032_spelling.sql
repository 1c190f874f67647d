-- How a search column was computed: a column that is stored keeps its meaning until it is altered.

alter table pgpipe.search add column version int not null default 1 check (version > 0);
alter table pgpipe.search_fill add column version int not null default 1 check (version > 0);
comment on column pgpipe.search.version is
    'Which way to read texts the search column follows. Questions are read in the same way.';
comment on column pgpipe.search_fill.version is
    'Which way to read texts the column that is being filled follows.';
