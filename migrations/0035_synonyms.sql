-- Synonyms: other words for what a question asks, by target. They hold from the next question on.

create table pgpipe.synonym (
    target       regclass not null,
    term         text not null check (term = lower(term) and term !~ '^\s|\s\s|\s$' and term <> ''),
    alternatives text[] not null check (
        cardinality(alternatives) > 0 and array_position(alternatives, null) is null
        and lower(array_to_string(alternatives, ' ')) = array_to_string(alternatives, ' ')),
    both_ways    boolean not null default true,  -- the alternatives mean the term, too
    primary key (target, term, both_ways)
);
comment on table pgpipe.synonym is
    'Words and phrases that a question may use for others. A question that holds the term asks for '
    'the alternatives as well.';
create index synonym_alternatives on pgpipe.synonym using gin (alternatives) where both_ways;

-- As 0008: those who own the target declare it.
alter table pgpipe.synonym enable row level security;
create policy reader on pgpipe.synonym for select
    using (has_any_column_privilege(target, 'select') is not false);
create policy owner on pgpipe.synonym
    using ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
             where class.oid = target) is not false)
    with check ((select pg_has_role(class.relowner, 'usage') from pg_catalog.pg_class class
                  where class.oid = target));
