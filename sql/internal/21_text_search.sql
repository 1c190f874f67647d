-- Keyword search: bare words are alternatives, "phrases" and -words are strict, BM25F ranks.

create or replace function pgpipe_internal.parse_query(languages regconfig[], query text, prefix boolean default false,
    out words text[], out counts int[], out prefixes boolean[], out required tsquery)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    strict_part constant text := '(^|\s)-("[^"]*"|\S+)';
    open_part constant text := '(?<!\S)([^\s"]*\w)\*(?!\S)';
    minus text[] := array(select m[2] from regexp_matches(query, strict_part, 'g') m);
    positive text := regexp_replace(query, strict_part, ' ', 'g');
    phrases text[] := array(select m[1] from regexp_matches(positive, '"([^"]*)"', 'g') m);
    beginnings text[];
    part text;
    parsed tsquery;
begin
    if prefix then  -- the word that is being typed: nothing behind it, and no quote around it
        positive := regexp_replace(positive, '(?<!\S)([^\s"]*\w)$', '\1*');
    end if;
    beginnings := array(select m[1] from regexp_matches(regexp_replace(positive, '"[^"]*"', ' ', 'g'), open_part, 'g') m);
    -- Rows of several languages: a word is asked for as each of them stores it.
    select array_agg(w.lexeme order by w.lexeme), array_agg(w.times order by w.lexeme), array_agg(w.open order by w.lexeme)
      into words, counts, prefixes
      from (
        select v.lexeme, max(cardinality(v.positions)) as times,
               bool_or(asked.open or v.lexeme collate "C" ~ ('^' || pgpipe_internal.unspaced() || '$')) as open
          from (select regexp_replace(positive, open_part, ' ', 'g') as part, false as open
                union all select b, true from unnest(beginnings) b) asked
          cross join unnest(languages) l (language)
          cross join lateral unnest(coalesce(
              nullif(pgpipe_internal.question_words(l.language, asked.part), ''),
              case when asked.open then to_tsvector('pg_catalog.simple', asked.part) else '' end)) v  -- "th" goes on, stop word or not
         group by v.lexeme
      ) w;
    foreach part in array phrases loop
        select string_agg('(' || p.query::text || ')', ' | ')::tsquery into parsed
          from unnest(languages) l (language) cross join lateral pgpipe_internal.phrase_query(l.language, part) p (query)
         where numnode(p.query) > 0;
        required := coalesce(required && parsed, required, parsed);
    end loop;
    foreach part in array minus loop
        select string_agg('(' || p.query::text || ')', ' | ')::tsquery into parsed
          from unnest(languages) l (language) cross join lateral pgpipe_internal.phrase_query(l.language, btrim(part, '"')) p (query)
         where numnode(p.query) > 0;
        required := coalesce(required && !!parsed, required, !!parsed);
    end loop;
    words := coalesce(words, '{}');
    counts := coalesce(counts, '{}');
    prefixes := coalesce(prefixes, '{}');
end
$$;
comment on function pgpipe_internal.parse_query(regconfig[], text, boolean) is
    'The lexemes of a question in the given languages, how often each is asked for, and which are '
    'beginnings (`word*`, and with `prefix` the last word). `required` joins its "phrases" and '
    '-words; null if it has none.';

create or replace function pgpipe_internal.word_query(word text, prefix boolean default false)
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select ('''' || replace(replace(word, '\', '\\'), '''', '''''') || case when prefix then ''':*' else '''' end)::tsquery
$$;
comment on function pgpipe_internal.word_query(text, boolean) is 'The tsquery that asks for this lexeme, or for all that begin with it.';

create or replace function pgpipe_internal.any_word(words tsquery[])
    returns tsquery  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg('(' || w::text || ')', ' | ')::tsquery from unnest(words) w
$$;
comment on function pgpipe_internal.any_word(tsquery[]) is 'The tsquery that asks for any of these; null for none.';

create or replace function pgpipe_internal.asked_words(languages regconfig[], query text, prefix boolean default false)
    returns tsquery  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select string_agg(pgpipe_internal.word_query(w.word, w.prefix)::text, ' | ')::tsquery
      from pgpipe_internal.parse_query(languages, query, prefix) q cross join unnest(q.words, q.prefixes) w (word, prefix)
$$;
comment on function pgpipe_internal.asked_words(regconfig[], text, boolean) is
    'The tsquery that a passage is marked by: any word of the question; null where it has none.';

create or replace function pgpipe_internal.headline_expression(target regclass, alias text, words text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce((
        select format('pgpipe_internal.unpaired(ts_headline(%s, pgpipe_internal.paired(%L, concat_ws(E''\n'', %s)), %s, %L))',
                      pgpipe_internal.language_expression(s.target, s.config, s.language_column,
                                                 pgpipe_internal.column_list(array[s.language_column], alias)),
                      s.config,
                      string_agg(format('nullif(concat(%s), '''')', pgpipe_internal.column_list(array[a.attname], alias)), ', '
                                 order by w.value, a.attnum), words,
                      'StartSel=<b>, StopSel=</b>, MaxWords=30, MinWords=12')
          from (select d.*, pgpipe_internal.declared_language(d.target, d.language) as config from pgpipe.search d
                 where d.target = headline_expression.target) s
         cross join lateral jsonb_each_text(s.weights) w
          join pg_catalog.pg_attribute a on a.attrelid = s.target and a.attname = w.key
         where has_column_privilege(a.attrelid, a.attnum, 'select')
         group by s.target, s.config, s.language_column), 'null::text')
$$;
comment on function pgpipe_internal.headline_expression(regclass, text, text) is
    'SQL text: the part of the row `alias` that answers the question, `words` (a tsquery expression) between <b> and </b>, of the columns '
    'that the caller may read.';
