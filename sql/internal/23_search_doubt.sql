-- What is said if somebody renames or drops what a search depends on.

create or replace function pgpipe_internal.search_is_kept(declared pgpipe.search)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select not declared.by_trigger or exists (
        select from pg_catalog.pg_trigger known
          join pgpipe_internal.search_keeper(declared.target, declared.column_name) keeper
            on keeper.trigger = known.tgname
         where known.tgrelid = declared.target and known.tgenabled in ('O', 'A'))
$$;
comment on function pgpipe_internal.search_is_kept(pgpipe.search) is
    'Whether PostgreSQL, or a trigger that is not disabled, computes the search column.';

create or replace function pgpipe_internal.renamed_search_doubt(declared pgpipe.search)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('has no %s %I any more%s: name the present one, '
                  'select pgpipe.alter_search(%L, …)',
                  lost.kind, lost.name,
                  case when declared.by_trigger
                       then ', so rows written since are not found by their words'
                       when lost.kind = 'column' then ', so passages lack it'
                       when pgpipe_internal.present_language_column(declared) is null
                       then ', so questions are read in the language of the table only'
                       else '' end, declared.target)
      from (select 'column' as kind, wanted as name from jsonb_object_keys(declared.weights) wanted
            union all
            select 'language column', declared.language_column::text
             where declared.language_column is not null) lost
     where not pgpipe_internal.has_column(declared.target, lost.name::name)
     order by lost.kind, lost.name limit 1
$$;
comment on function pgpipe_internal.renamed_search_doubt(pgpipe.search) is
    'Which column of a search was renamed or dropped, and what follows; null if none was.';

create or replace function pgpipe_internal.older_search_doubt(declared pgpipe.search)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('has a search column of an earlier version, which does not find codes by their '
                  'parts: select pgpipe.alter_search(%L, %L), then `pgpipe fill-search`',
                  declared.target, declared.weights)
     where declared.version < pgpipe_internal.search_version()
$$;
comment on function pgpipe_internal.older_search_doubt(pgpipe.search) is
    'That a search column follows an earlier version of what is made of texts; null if not.';

create or replace function pgpipe_internal.search_doubt(target regclass)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select case
        when not pgpipe_internal.has_column(target, declared.column_name) then
            format('has lost its search column %I, so searches of it fail: '
                   'select pgpipe.enable_search(%L, …)', declared.column_name, target)
        when pgpipe_internal.find_language(declared.language) is null then
            format('is searched by the text search configuration %s, which does not exist: give '
                   'it back its name, or name another one with pgpipe.alter_search',
                   declared.language)
        when pgpipe_internal.key_columns(target) is null then
            format('has no primary key, so searches of it fail: alter table %s add primary key (…)',
                   target)
        when not pgpipe_internal.search_is_kept(declared) then
            format('has lost the trigger that keeps its search column, so new words are not found: '
                   'select pgpipe.disable_search(%1$L), then pgpipe.enable_search(%1$L, …)', target)
        when declared.by_trigger and pgpipe_internal.later_trigger(target) is not null then
            format('has a trigger %I, which runs after the one that keeps its search column, so '
                   'words that it changes are not found: alter trigger %1$I on %2$s rename to '
                   '%3$I, then update its rows', pgpipe_internal.later_trigger(target), target,
                   'a_' || pgpipe_internal.later_trigger(target))
        else coalesce(pgpipe_internal.renamed_search_doubt(declared),
                      pgpipe_internal.older_search_doubt(declared)) end
      from pgpipe.search declared where declared.target = search_doubt.target
$$;
comment on function pgpipe_internal.search_doubt(regclass) is
    'What keeps a declared search from finding all rows, and what to do; null if nothing does.';
