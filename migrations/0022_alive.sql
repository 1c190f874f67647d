-- A load says now and then that it is alive: a standby sees no locks of the primary server.

alter table pgpipe.load add column alive_at timestamptz;
alter table pgpipe.load alter column alive_at set default now();
comment on column pgpipe.load.alive_at is
    'When the load last said that it is alive, about every ten seconds; null for loads of before.';
