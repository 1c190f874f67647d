-- Filters: the columns that searches of an embedding are filtered by, and the table where they lie beside its vectors.

alter table pgpipe.embedding
    add column filters      name[] not null default '{}',
    add column filter_table regclass unique,
    add column filter_error text,  -- why searches leave the table alone until it is made anew
    add check (filters = '{}' or filter_table is not null);
