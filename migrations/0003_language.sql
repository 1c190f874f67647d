-- The language of a search becomes text: pg_upgrade refuses a cluster that has columns of type
-- regconfig.

create function pgpipe.language_name(regconfig)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$ select $1::text $$;
comment on function pgpipe.language_name(regconfig) is
    'The name of a configuration: with its schema before it, unless that is pg_catalog.';

alter table pgpipe.search alter column language type text using pgpipe.language_name(language);
alter table pgpipe.search_fill alter column language type text using pgpipe.language_name(language);

drop function pgpipe.language_name(regconfig);
