-- Hits: how a list of answers becomes what a caller reads.

create or replace function pgpipe_internal.search_options(options jsonb)
    returns jsonb  immutable  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known constant jsonb := '{"row": "boolean", "boost": "object", "order_by": "any",
                                "candidates": "number", "explain": "boolean"}';
    asked record;
begin
    if coalesce(jsonb_typeof(options), 'null') = 'null' then
        return '{}';
    elsif jsonb_typeof(options) <> 'object' then
        raise exception 'options are a JSON object, not %', jsonb_typeof(options)
            using errcode = 'PP003', hint = 'Write {"row": true}.';
    end if;
    for asked in select each.key, jsonb_typeof(each.value) as type
                   from jsonb_each(options) each loop
        if not known ? asked.key then
            raise exception 'no option is called %', quote_literal(asked.key)
                using errcode = 'PP003', hint = format('There are %s.', (
                    select string_agg(name, ', ') from jsonb_object_keys(known) name));
        elsif asked.type not in (known ->> asked.key, 'null') and known ->> asked.key <> 'any' then
            raise exception 'option % is of type %, not %', quote_literal(asked.key),
                known ->> asked.key, asked.type using errcode = 'PP003';
        end if;
    end loop;
    return jsonb_strip_nulls(options);
end
$$;
comment on function pgpipe_internal.search_options(jsonb) is
    'The options of a search that are not null. Raises PP003 for an option that does not exist, '
    'or a value of another type. An option of type "any" is checked by what reads it.';

create or replace function pgpipe_internal.shortened(content text, most int)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language sql
as $$ select case when length(content) > most then left(content, most) || ' …' else content end $$;
comment on function pgpipe_internal.shortened(text, int) is
    'A text, or its beginning and an ellipsis.';

create or replace function pgpipe_internal.with_cut_ends(passage text, content text)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    -- A passage lacks tags and punctuation at its ends, so letters and digits are compared, of a
    -- long text those near its ends. By code points: a collation may allow no patterns.
    ignored constant text := '(<[^<>]*>|[\x01-\x2f:-@[-`{-\u00bf\u2000-\u206f\u3000-\u303f'
                             '\uff00-\uff0f\uff1a-\uff20])+';
    letter constant text := '[^\x01-\x2f:-@[-`{-\u00bf\u2000-\u206f\u3000-\u303f'
                            '\uff00-\uff0f\uff1a-\uff20]';
    plain text := replace(replace(passage collate "C", '<b>', ''), '</b>', '');
    place constant int := strpos(content collate "C", plain);
    room constant int := length(passage) + 200;
    is_begun boolean;
    goes_on boolean;
begin
    if place > 0 then  -- almost always, and a pattern that ends at the first letter costs little
        is_begun := left(content, place - 1) collate "C" ~ letter;
        goes_on := substr(content, place + length(plain)) collate "C" ~ letter;
    else
        plain := regexp_replace(passage collate "C", ignored, '', 'g');
        is_begun := not starts_with(
            regexp_replace(left(content, room) collate "C", ignored, '', 'g') collate "C", plain);
        goes_on := right(regexp_replace(right(content, room) collate "C", ignored, '', 'g'),
                         length(plain)) collate "C" <> plain;
    end if;
    return case when is_begun then '… ' else '' end || passage
        || case when goes_on then ' …' else '' end;
end
$$;
comment on function pgpipe_internal.with_cut_ends(text, text) is
    'A passage with an ellipsis at each end where the text goes on.';

create or replace function pgpipe_internal.title_expression(target regclass, alias text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select coalesce((
        select format('pgpipe_internal.shortened(nullif(%s, ''''), 200)',
                      format(case when pgpipe_internal.is_text_array(col.atttypid)
                                  then 'array_to_string(%s, '', '')' else 'concat(%s)' end,
                             pgpipe_internal.column_list(array[col.attname], alias)))
          from pg_catalog.pg_attribute col
         where col.attrelid = title_expression.target
           and col.attname = pgpipe_internal.title_column(target)), 'null::text')
$$;
comment on function pgpipe_internal.title_expression(regclass, text) is
    'SQL text: the title of the row `alias`: the declared column, or the first of weight A. Null '
    'if there is none that the caller may read.';

create or replace function pgpipe_internal.passage_expression(declared pgpipe.embedding, chunk text)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A row that changed since it was embedded: its ranges are of the text it had, so its beginning
    -- is shown.
    select case when exists (select from unnest(declared.columns) col
                              where not has_column_privilege(declared.target, col::text, 'select'))
           then 'null::text'
           else pgpipe_internal.fill($sql$(
               select case when pgpipe_internal.content_hash(shown.input) = {chunk}.content_hash
                           then concat(
                               case when {chunk}.char_start > 0 then '… ' end,
                               substr(shown.input, {chunk}.char_start + 1,
                                      {chunk}.char_end - {chunk}.char_start),
                               case when {chunk}.char_end < length(shown.input) then ' …' end)
                           else pgpipe_internal.shortened(shown.input, 400) end
                 from (select {input}) shown (input))$sql$, jsonb_build_object(
               'chunk', chunk,
               'input', pgpipe_internal.input_expression(declared.columns, declared.template))) end
$$;
comment on function pgpipe_internal.passage_expression(pgpipe.embedding, text) is
    'SQL text: the part of row `t` that the vector of `chunk` stands for. Null if the caller may '
    'not read all of it.';

create or replace function pgpipe_internal.show_hits(
    target regclass, hits pgpipe_internal.listed[], words tsquery, declared pgpipe.embedding,
    options jsonb, question jsonb default null)
    returns table (key jsonb, score double precision, text_rank int, vector_rank int,
                   title text, passage text, "row" jsonb, details jsonb)
    stable rows 10  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    key_columns constant name[] := coalesce(
        declared.key_columns, pgpipe_internal.require_key(target));
    is_distributed constant boolean := pgpipe_internal.is_distributed(target);
begin
    return query execute pgpipe_internal.fill($sql$
        with hit as materialized (select * from unnest($1) with ordinality){found}
        select hit.key, hit.score, hit.text_rank, hit.vector_rank, {title},
               case when hit.text_rank is not null then {headline} else {passage} end, {row},
               {details}
          from hit join {rows} t on {same_row} order by hit.ordinality
        $sql$, jsonb_build_object(
            'rows', case when is_distributed then 'found' else target::text end,
            -- They are fetched first: what is shown of them is more than other servers compute.
            'found', case when is_distributed then format(
                ', found as materialized (select t.* from %s t join hit on %s)', target,
                pgpipe_internal.key_match(target, key_columns, 't', 'hit.key')) end,
            'title', pgpipe_internal.title_expression(target, 't'),
            'headline', pgpipe_internal.headline_expression(target, 't', '$2'),
            'passage', case when declared.target is null then 'null'
                       else pgpipe_internal.passage_expression(declared, 'hit') end,
            'row', case when (options ->> 'row')::boolean
                   then pgpipe_internal.row_expression(target, 't')
                   else 'null::jsonb' end,
            'details', case when question is null then 'null::jsonb' else format(
                'pgpipe_internal.explain_hit($1[hit.ordinality], %s, $3)',
                coalesce('t.' || quote_ident(question ->> 'column'), 'null::tsvector')) end,
            'same_row', pgpipe_internal.key_match(target, key_columns, 't', 'hit.key')))
        using hits, words, question;
end
$$;
comment on function pgpipe_internal.show_hits(
    regclass, pgpipe_internal.listed[], tsquery, pgpipe.embedding, jsonb, jsonb) is
    'What a caller reads of the rows of a page, in their order. `declared` is the embedding whose '
    'chunks are passages; null if the list has none. `question` is that of explained_question.';
