-- Every table has a primary key: without one a publication for all tables refuses its updates and deletes.

alter table pgpipe.finished add column finished_id bigint generated always as identity primary key;
comment on table pgpipe.sql_file is
    'The files of sql/ as last applied, and a checksum of the owners and rights that the last migrate left.';

-- A trigger function of a search column lies beside its target, out of reach of sql/: it gets the path that new ones have.
do $$
declare
    keeper regprocedure;
begin
    for keeper in
        select distinct p.oid::regprocedure
          from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
         where g.tgname like 'zzz\_pgpipe\_search\_%' and pg_has_role(p.proowner, 'usage')
           and not p.proconfig @> array['search_path=pg_catalog, pg_temp']
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', keeper);
    end loop;
end
$$;
