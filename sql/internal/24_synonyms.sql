-- Synonyms, and how a question is understood: what it says, what it meant to, and what means that.

create or replace function pgpipe_internal.find_synonyms(
    target regclass, query text, out terms text[], out alternatives text[])
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    phrases text[];
begin
    if not has_table_privilege('pgpipe.synonym', 'select') then
        return;  -- rights that were granted before this table was there
    elsif not exists (select from pgpipe.synonym known
                       where known.target = find_synonyms.target) then
        return;
    end if;
    phrases := pgpipe_internal.question_phrases(query);
    select array_agg(distinct means.word) filter (where means.word = any (phrases)),
           array_agg(distinct means.word) filter (where means.word <> all (phrases))
      into terms, alternatives
      from pgpipe.synonym known
     cross join lateral unnest(known.term || known.alternatives) means (word)
     where known.target = find_synonyms.target
       and (known.term = any (phrases) or known.both_ways and known.alternatives && phrases);
end
$$;
comment on function pgpipe_internal.find_synonyms(regclass, text) is
    'The terms of a target''s synonyms that a question holds, and what else means them.';

create or replace function pgpipe_internal.understand(
    target regclass, languages regconfig[], query text, prefix boolean, fuzzy boolean,
    out asked text, out corrected text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    most constant int := 20;  -- so many alternatives are asked for
    synonyms record := pgpipe_internal.find_synonyms(target, query);
begin
    corrected := pgpipe_internal.corrected_question(
        target, languages, query, prefix, fuzzy, synonyms.terms);
    if corrected is not null then
        synonyms := pgpipe_internal.find_synonyms(target, corrected);
    end if;
    -- In front: the last word may be the beginning of one.
    asked := concat_ws(' ', array_to_string(synonyms.alternatives[:most], ' '),
                       coalesce(corrected, query));
end
$$;
comment on function pgpipe_internal.understand(regclass, regconfig[], text, boolean, boolean) is
    'The question that is answered in place of `query`: corrected, and with synonyms. `corrected` '
    'is null if nothing was corrected.';
