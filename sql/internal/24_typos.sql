-- Typing errors: a word of a question that no row holds becomes the nearest word that one does.

create or replace function pgpipe_internal.unheld_words(
    declared pgpipe.search, languages regconfig[], words text[], prefix text)
    returns text[]
    stable  set search_path = pg_catalog, pg_temp
    set enable_seqscan = off  -- a word that no row holds would be looked for in each
    language plpgsql
as $$
declare
    unheld text[] := '{}';
    asked record;
    held boolean;
begin
    for asked in
        select word.word, word.word is not distinct from prefix as is_open, parsed.lexemes
          from unnest(words) word (word)
         cross join lateral (
               select array_agg(found.lexeme) as lexemes from unnest(languages) language
                cross join lateral (
                      select stem.lexeme
                        from unnest(pgpipe_internal.question_words(language, word.word)) stem
                      union
                      select start.lexeme from pgpipe_internal.beginning_words(
                             declared, language, word.word) start
                       where word.word = prefix) found) parsed
         where parsed.lexemes is not null and not exists (
               select from pgpipe.lexeme known
                where known.target = declared.target and known.lexeme = any (parsed.lexemes))
    loop
        -- The counts come from a sample, and rows were written since.
        execute format('select exists (select 1 from %s row where row.%I @@ %L and %s)',
                       declared.target, declared.column_name, (
                           select string_agg(pgpipe_internal.word_query(
                                                 lexeme, asked.is_open)::text, ' | ')
                             from unnest(asked.lexemes) lexeme),
                       pgpipe_internal.search_condition(declared.target, null)) into held;
        unheld := unheld || case when not held then asked.word end;
    end loop;
    return array_remove(unheld, null);
end
$$;
comment on function pgpipe_internal.unheld_words(pgpipe.search, regconfig[], text[], text) is
    'Those of the words that no row of a target holds, in no language of its rows. `prefix` is one '
    'of them that may go on.';

create or replace function pgpipe_internal.letters_of_words(target regclass)
    returns text[]  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- One step of the index for each letter with which a word begins.
    with recursive initial as (
        (select left(known.word, 1) as letter from pgpipe.word known
          where known.target = letters_of_words.target order by known.word limit 1)
        union
        select (select left(known.word, 1) from pgpipe.word known
                 where known.target = letters_of_words.target
                   and known.word > pgpipe_internal.last_beginning(initial.letter)
                 order by known.word limit 1)
          from initial where initial.letter is not null
    )
    select array(select initial.letter from initial where initial.letter is not null limit 100)
$$;
comment on function pgpipe_internal.letters_of_words(regclass) is
    'The letters that words of a target begin with: its alphabet, nearly.';

create or replace function pgpipe_internal.one_edit(word text, letters text[])
    returns text[]  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    with cut as (
        select left(word, place) as head, substr(word, place + 1) as tail
          from generate_series(0, length(word)) place
    )
    select array(
        select head || substr(tail, 2) from cut where tail <> ''  -- one letter too many
        union
        select head || substr(tail, 2, 1) || left(tail, 1) || substr(tail, 3)  -- two exchanged
          from cut where length(tail) > 1
        union
        select head || letter || substr(tail, 2) from cut cross join unnest(letters) letter
         where tail <> ''  -- another letter
        union
        select head || letter || tail from cut cross join unnest(letters) letter)  -- one missing
$$;
comment on function pgpipe_internal.one_edit(text, text[]) is
    'All words that differ from one by one typing error: a letter too many, missing or another, or '
    'two exchanged (F. J. Damerau, 1964).';

create or replace function pgpipe_internal.edit_distance(a text, b text)
    returns int  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    x constant text[] := string_to_array(a, null);
    y constant text[] := string_to_array(b, null);
    before int[];  -- the row before the last, as two letters may be exchanged
    last int[] := array(select n from generate_series(0, cardinality(y)) n);
    row int[];
    best int;
begin
    for i in 1 .. cardinality(x) loop
        row := array[i];
        for j in 1 .. cardinality(y) loop
            best := least(last[j + 1] + 1, row[j] + 1, last[j] + (x[i] <> y[j])::int);
            if i > 1 and j > 1 and x[i] = y[j - 1] and x[i - 1] = y[j] then
                best := least(best, before[j - 1] + 1);
            end if;
            row := row || best;
        end loop;
        before := last;
        last := row;
    end loop;
    return last[cardinality(y) + 1];
end
$$;
comment on function pgpipe_internal.edit_distance(text, text) is
    'How many typing errors apart two words are (optimal string alignment).';

create or replace function pgpipe_internal.nearest_word(target regclass, typed text)
    returns text  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    edits constant text[] := pgpipe_internal.one_edit(
        typed, pgpipe_internal.letters_of_words(target) || case when typed ~ '[a-z]' then
                   string_to_array('abcdefghijklmnopqrstuvwxyz', null) end);
    beginning constant text := left(typed, greatest(3, length(typed) / 3));
    nearest text;
begin
    select known.word into nearest from pgpipe.word known
     where known.target = nearest_word.target and known.word = any (edits)
     order by known.documents desc, known.word limit 1;
    if nearest is null and length(typed) > 5 then
        -- Two errors: of the words that begin alike, those with other letters are passed over.
        select near.word into nearest
          from (select known.word, known.documents from pgpipe.word known
                 where known.target = nearest_word.target
                   and known.word >= beginning
                   and known.word < pgpipe_internal.last_beginning(beginning)
                   and length(known.word) between length(typed) - 2 and length(typed) + 2
                   and length(translate(known.word, typed, '')) <= 2
                   and length(translate(typed, known.word, '')) <= 2
                 order by known.documents desc limit 100) near
         where pgpipe_internal.edit_distance(typed, near.word) <= 2
         order by near.documents desc, near.word limit 1;
    end if;
    return nearest;
end
$$;
comment on function pgpipe_internal.nearest_word(regclass, text) is
    'Of the words one typing error away the one that most documents hold, else of those two errors '
    'away that begin alike; null if there is none.';

create or replace function pgpipe_internal.is_known(
    target regclass, languages regconfig[], query text)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    asked constant text[] := array(
        select distinct word.lexeme from unnest(languages) language
         cross join unnest(pgpipe_internal.question_words(language, query)) word);
begin
    -- A count of these few: the planner would compare them with all that are known.
    return cardinality(asked) = (select count(*) from pgpipe.lexeme known
                                  where known.target = is_known.target
                                    and known.lexeme = any (asked));
end
$$;
comment on function pgpipe_internal.is_known(regclass, regconfig[], text) is
    'Whether all words of a question were found when they were counted, in every language: most '
    'questions need nothing more.';

create or replace function pgpipe_internal.corrected_question(
    target regclass, languages regconfig[], query text, prefix boolean, fuzzy boolean,
    terms text[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    shortest constant int := 4;  -- of three letters any word is near another
    most constant int := 8;  -- so many words are corrected
    words text[];
    better jsonb;
begin
    if not fuzzy or query is null or not pgpipe_internal.shows_words(target)
       or pgpipe_internal.is_known(target, languages, query) then
        return null;
    end if;
    words := array(
        select distinct lower(found.piece) from pgpipe_internal.question_pieces(query) found
         where found.is_word and length(found.piece) between shortest and 30
           and (lower(found.piece) = any (terms)) is not true);
    words := (pgpipe_internal.unheld_words(
        pgpipe_internal.require_search(target), languages, words,
        case when prefix then lower(substring(query from '(\w+)$')) end))[:most];
    select jsonb_object_agg(asked.word, near.word) into better from unnest(words) asked (word)
     cross join pgpipe_internal.nearest_word(target, asked.word) near (word)
     where near.word is not null;
    return (select string_agg(case when found.is_word
                                   then coalesce(better ->> lower(found.piece), found.piece)
                                   else found.piece end, '' order by found.place)
              from pgpipe_internal.question_pieces(query) found where better is not null);
end
$$;
comment on function pgpipe_internal.corrected_question(
    regclass, regconfig[], text, boolean, boolean, text[]) is
    'A question with the nearest word in place of each that no row holds and that is not one of '
    '`terms`. Null if there is nothing to correct, if the words are not counted, or if the caller '
    'may not see them.';
