-- Distributed targets: the fence makes a commit that also writes them a commit in two phases.

create table pgpipe.fence (no_row int primary key check (false));
comment on table pgpipe.fence is
    'Always empty. Citus knows this table, so a transaction that deletes from it commits on all '
    'servers or on none.';
