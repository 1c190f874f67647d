-- Every table has a primary key: without one a publication for all tables refuses its updates and
-- deletes.

alter table pgpipe.finished add column finished_id bigint generated always as identity primary key;
comment on table pgpipe.sql_file is
    'The files of sql/ as last applied, and a checksum of the owners and rights that the last '
    'migrate left.';

-- A trigger function of a search column lies in the schema of its target, out of reach of sql/: it
-- gets the path that new ones have.
do $$
declare
    keeper regprocedure;
begin
    for keeper in
        select distinct routine.oid::regprocedure
          from pg_catalog.pg_trigger fires
          join pg_catalog.pg_proc routine on routine.oid = fires.tgfoid
         where fires.tgname like 'zzz\_pgpipe\_search\_%' and pg_has_role(routine.proowner, 'usage')
           and not routine.proconfig @> array['search_path=pg_catalog, pg_temp']
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', keeper);
    end loop;
end
$$;
