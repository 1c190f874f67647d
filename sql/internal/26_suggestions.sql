-- Completions of what is being typed: of its last word, and of titles.

create or replace function pgpipe_internal.suggest_words(
    target regclass, beginning text, k int, out word text, out documents double precision)
    returns setof record  stable rows 10  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- Of a short beginning there are many words, so the common ones are looked through; of a rare
    -- one there are few, so they are found by it.
    select near.word, max(near.documents)
      from ((select common.word, common.documents
               from (select known.word, known.documents from pgpipe.word known
                      where known.target = suggest_words.target and length(beginning) < 3
                      order by known.documents desc limit 10000) common
              where common.word >= beginning
                and common.word < (select pgpipe_internal.last_beginning(beginning)))
            union all
            (select known.word, known.documents from pgpipe.word known
              where known.target = suggest_words.target and known.word >= beginning
                and known.word < (select pgpipe_internal.last_beginning(beginning))
              order by known.word limit case when length(beginning) < 3 then 2000 else 20000 end))
           near
     where near.word <> beginning group by near.word
     order by 2 desc, near.word limit k
$$;
comment on function pgpipe_internal.suggest_words(regclass, text, int) is
    'The k words of a target that begin so and that most documents hold.';

create or replace function pgpipe_internal.title_column(target regclass)
    returns name  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select col.attname
      from pgpipe.search serving
      join pg_catalog.pg_attribute col on col.attrelid = serving.target
     where serving.target = title_column.target and col.attnum > 0 and not col.attisdropped
       and (col.attname = serving.title or serving.weights ->> col.attname::text = 'A')
       and has_column_privilege(col.attrelid, col.attnum, 'select')
     order by col.attname = serving.title desc nulls last, col.attnum limit 1
$$;
comment on function pgpipe_internal.title_column(regclass) is
    'The column that is the title of a row: the declared one, or the first of weight A. Null if '
    'there is none that the caller may read.';

create or replace function pgpipe_internal.titles_statement(target regclass, title name)
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- One step of the index for each title.
    select pgpipe_internal.fill($sql$
        with recursive found as (
            (select {folded} as folded, row.{title}::text as title from {target} row
              where {folded} >= $1 and {folded} < $2 and {condition} order by 1 limit 1)
            union all
            select further.* from found
             cross join lateral (
                   select {folded}, row.{title}::text from {target} row
                    where {folded} > found.folded and {folded} < $2 and {condition}
                    order by 1 limit 1) further
        )
        select array(select found.title from found limit $3)
        $sql$, jsonb_build_object(
            'target', target, 'title', quote_ident(title),
            'folded', format('(lower("left"(row.%I::text, 100)) collate "C")', title),
            'condition', pgpipe_internal.search_condition(target, null)))
$$;
comment on function pgpipe_internal.titles_statement(regclass, name) is
    'SQL text: $3 titles, each once, from $1 on and before $2 in the order of their small letters.';

create or replace function pgpipe_internal.suggest_titles(target regclass, beginning text, k int)
    returns text[]  volatile  set search_path = pg_catalog, pg_temp set jit = off  language plpgsql
as $$
declare
    dearest constant double precision := 1500;  -- in the planner's units: some milliseconds
    title constant name := pgpipe_internal.title_column(target);
    first constant text := lower(beginning);
    last constant text := pgpipe_internal.last_beginning(first);
    titles text[];
begin
    if title is null or length(beginning) > 99 or pgpipe_internal.is_distributed(target)
       or not pgpipe_internal.is_trusted_type(pgpipe_internal.column_type_of(target, title)) then
        return '{}';  -- a cast of the owner's would run
    elsif (pgpipe_internal.estimate(target, format(
           '(lower("left"(row.%I::text, 100)) collate "C") between %L and %L', title, first, last
           ))).cost > dearest then
        return '{}';  -- the table has no index for it
    end if;
    execute pgpipe_internal.titles_statement(target, title) into titles using first, last, k;
    return titles;
end
$$;
comment on function pgpipe_internal.suggest_titles(regclass, text, int) is
    'At most k titles of a target that begin so, in small letters or capitals. None if the caller '
    'may not read the title, if there are many rows and no index, or if the target is distributed.';
