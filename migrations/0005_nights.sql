-- Counts of a load that add up, and rows that a target's own trigger, rule or policy left out.

alter table pgpipe.load
    add column left_out bigint not null default 0,  -- by a trigger, rule or policy of the target
    -- Loads of earlier versions may have counted below 0.
    add constraint load_counts_positive
        check (least(read, inserted, updated, deleted, unchanged, rejected, left_out) >= 0)
        not valid,
    add constraint load_counts_add_up
        check (error is not null
               or read = inserted + updated + unchanged + rejected + left_out) not valid;
