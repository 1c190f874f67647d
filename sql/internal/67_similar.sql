-- More like this: which row is meant, and the words that tell it from others.

create or replace function pgpipe_internal.look_up(
    target regclass, key_columns name[], wanted jsonb, out key jsonb, out content text)
    stable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    execute pgpipe_internal.fill($sql$
        select {key}, kept.content
          from (select {key_columns}, {content} as content from {target} row
                 where ({same_row}) and {condition}) kept
        $sql$, jsonb_build_object(
            'key', pgpipe_internal.numbered_json(target, key_columns, 'kept'),
            'key_columns', pgpipe_internal.numbered_list(key_columns, 'row'),
            'content', pgpipe_internal.content_expression(target, 'row'), 'target', target,
            'same_row', pgpipe_internal.key_match(target, key_columns, 'row', '$1'),
            'condition', pgpipe_internal.search_condition(target, null)))
       into key, content using wanted;
    if key is null then
        raise exception 'no row of % has the key %', target, wanted using errcode = 'PP003',
            hint = 'Write it as searches do, such as {"id": 7}.';
    end if;
end
$$;
comment on function pgpipe_internal.look_up(regclass, name[], jsonb) is
    'The key of a row as searches write it, and the text that is searched of it. Raises PP003 if '
    'the caller sees no row with that key.';

create or replace function pgpipe_internal.telling_words(target regclass, content text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    with token as (  -- words and parts of words, of the beginning of a long text
        select lower(parsed.token) as token, count(*) as times
          from ts_parse('default', left(content, 20000)) parsed
         where parsed.tokid in (1, 2, 3, 9, 10, 11) group by 1
    ), weighed as (
        select token.token, max(token.times / coalesce(known.documents, 1)) as weight
          from token
         cross join unnest(pgpipe_internal.search_languages(target)) language
         cross join lateral unnest(pgpipe_internal.question_words(language, token.token)) word
          left join pgpipe.lexeme known
            on known.target = telling_words.target and known.lexeme = word.lexeme
         -- What stands in this row alone finds no other.
         where coalesce(known.documents, 2) > 1 group by 1
    )
    select string_agg(best.token, ' ' order by best.weight desc, best.token)
      from (select * from weighed order by weighed.weight desc, weighed.token limit 25) best
$$;
comment on function pgpipe_internal.telling_words(regclass, text) is
    'The 25 words that tell a text from others best, by their occurrences in it and by how few '
    'rows hold them.';
