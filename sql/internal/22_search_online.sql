-- A search column for a table in use: a plain column, a trigger that keeps it, and batches that
-- fill it. No rewrite, no long lock.

create or replace function pgpipe_internal.execute_briefly(statement text)
    returns void
    volatile strict  set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
    language plpgsql
as $$
declare
    attempts constant int := 60;
begin
    for attempt in 1 .. attempts loop
        begin
            execute statement;
            return;
        exception when lock_not_available then
            -- A statement that waits for a lock holds up all that come after: give way, try again.
            if attempt = attempts then
                raise;
            end if;
        end;
        perform pg_sleep(0.1 + random());
    end loop;
end
$$;
comment on function pgpipe_internal.execute_briefly(text) is
    'Executes a statement that needs a strong lock, waiting for it half a second at a time so that '
    'others get through in between. Raises lock_not_available after a minute or so.';

create or replace function pgpipe_internal.start_fill(wanted pgpipe.search_fill)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.refuse_distributed(
        wanted.target, 'a search column that is filled online',
        'Leave `online` out: the table is rewritten.');
    perform pgpipe_internal.require_last_keeper(wanted.target);
    if exists (select from pg_catalog.pg_inherits child
                 join pg_catalog.pg_class class on class.oid = child.inhrelid
                where child.inhparent = wanted.target and not class.relispartition) then
        raise exception '% has child tables, whose rows its trigger does not see', wanted.target
            using errcode = 'PP003', hint = 'Leave `online` out; if it is searched already, call '
                                            'pgpipe.disable_search first.';
    end if;
    perform pgpipe_internal.execute_briefly(format(
        'alter table %s add column %2$I tsvector, alter column %2$I set storage main',
        wanted.target, wanted.column_name));
    perform pgpipe_internal.keep_search_column(wanted);
    insert into pgpipe.search_fill
           (target, column_name, weights, language, language_column, version, end_block)
    select wanted.target, wanted.column_name, wanted.weights, wanted.language,
           wanted.language_column, wanted.version,
           coalesce(max(pg_catalog.pg_relation_size(part.relid)
                        / current_setting('block_size')::int), 0) + 1
      from (select wanted.target as relid
             union select leaf.relid from pg_catalog.pg_partition_tree(wanted.target) leaf
                    where leaf.isleaf) part
      join pg_catalog.pg_class class on class.oid = part.relid and class.relkind in ('r', 'f');
end
$$;
comment on function pgpipe_internal.start_fill(pgpipe.search_fill) is
    'Adds the column that a fill will fill, and the trigger that keeps it from now on.';

create or replace function pgpipe_internal.rewrite_search(wanted pgpipe.search_fill)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    chosen name := (select serving.title from pgpipe.search serving
                     where serving.target = wanted.target);
begin
    perform pgpipe.disable_search(wanted.target);
    perform pgpipe_internal.generate_search(wanted);
    update pgpipe.search serving set title = chosen
     where serving.target = wanted.target;
    perform pgpipe_internal.index_search(wanted.target), pgpipe.refresh_search(wanted.target);
end
$$;
comment on function pgpipe_internal.rewrite_search(pgpipe.search_fill) is
    'Puts another search column in the place of the one that serves, in this transaction: the '
    'table is rewritten, and waits for it.';

create or replace function pgpipe_internal.replace_search(wanted pgpipe.search_fill)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    perform pgpipe_internal.check_search(wanted);
    if pgpipe_internal.is_distributed(wanted.target) then
        perform pgpipe_internal.rewrite_search(wanted);
    else
        perform pgpipe_internal.start_fill(wanted);
    end if;
end
$$;
comment on function pgpipe_internal.replace_search(pgpipe.search_fill) is
    'Begins the change to another search column; of a distributed table it is done at once.';

create or replace function pgpipe_internal.ensure_search(
    target regclass, columns text, language regconfig, column_name name default 'search',
    language_column name default null, online_above bigint default 8000000)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if exists (select from pgpipe.search serving
                where serving.target = ensure_search.target
                  and serving.column_name = ensure_search.column_name) then
        -- The same declaration waits for alter_search to be brought to another version.
        perform pgpipe.alter_search(ensure_search.target, columns, ensure_search.language,
                                    coalesce(ensure_search.language_column, ''))
           from pgpipe.search serving
          where serving.target = ensure_search.target and (
                serving.version = pgpipe_internal.search_version()
                or (serving.weights, serving.language, coalesce(serving.language_column, ''))
                   is distinct from (pgpipe_internal.parse_weights(columns),
                                     ensure_search.language::text,
                                     coalesce(ensure_search.language_column, '')));
    else
        perform pgpipe.enable_search(
            target, columns, language, column_name, true, language_column,
            exists (select from pgpipe.search_fill filling
                     where filling.target = ensure_search.target)
            or pg_catalog.pg_relation_size(target) > online_above);
    end if;
    if not exists (select from pgpipe.search_fill filling
                    where filling.target = ensure_search.target) then
        perform pgpipe_internal.index_search(target);
        return false;
    end if;
    return true;
end
$$;
comment on function pgpipe_internal.ensure_search(regclass, text, regconfig, name, name, bigint) is
    'Makes the declared search the one of the target, whatever it had before: at once for a new '
    'one of few bytes, else online. Returns whether something is being filled. Raises as '
    'enable_search.';

create or replace function pgpipe_internal.fill_blocks(
    filling pgpipe.search_fill, last_block bigint, out picked bigint, out written bigint)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    -- A locked row is left for another round: a batch that waits for a writer could be in a
    -- deadlock with it. The trigger computes the value.
    execute pgpipe_internal.fill($sql$
        with picked as materialized (
            select row.tableoid as part, row.ctid as place from {target} row
             where row.ctid >= $1 and row.ctid < $2 and row.{search} is null
               for no key update skip locked
        ), written as (
            update {target} row set {search} = null from picked
             where row.tableoid = picked.part and row.ctid = picked.place
               and row.ctid >= $1 and row.ctid < $2
            returning row.{search} is not null as filled
        )
        select (select count(*) from picked), (select count(*) from written where written.filled)
        $sql$, jsonb_build_object(
            'target', filling.target, 'search', quote_ident(filling.column_name)))
       into picked, written
      using format('(%s,0)', filling.next_block)::tid, format('(%s,0)', last_block)::tid;
end
$$;
comment on function pgpipe_internal.fill_blocks(pgpipe.search_fill, bigint) is
    'Fills the search column in the blocks from next_block up to the given one. Returns how many '
    'rows lacked it, and how many have it now.';

create or replace function pgpipe_internal.is_filled(filling pgpipe.search_fill)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    filled boolean;
begin
    execute format('select not exists (select from %s row where row.%I is null)',
                   filling.target, filling.column_name) into filled;
    return filled;
end
$$;
comment on function pgpipe_internal.is_filled(pgpipe.search_fill) is
    'Whether each row has the search column that is being filled.';

create or replace function pgpipe_internal.fill_batch(target regclass, rows int default 2000,
    out filled bigint, out total bigint, out done boolean)
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    filling pgpipe.search_fill;
    last_block bigint;
    batch record;
begin
    select * into filling from pgpipe.search_fill known
     where known.target = fill_batch.target for update;
    if not found then
        raise exception 'nothing is being filled in %', target using errcode = 'PP005',
            hint = 'It begins with enable_search(…, online => true) or alter_search.';
    end if;
    perform pgpipe_internal.declared_language(filling.target, filling.language);
    total := pgpipe_internal.known_rows(filling.target);
    last_block := filling.next_block
                  + greatest(1, rows * filling.end_block / greatest(total, 1));
    batch := pgpipe_internal.fill_blocks(filling, last_block);
    if batch.written < batch.picked then  -- else it would be tried for ever
        raise exception '% rows of % could not be filled: a trigger of the table undoes it',
            batch.picked - batch.written, filling.target using errcode = 'PP005',
            hint = 'Disable that trigger until the column is filled.';
    end if;
    done := false;
    if last_block >= filling.end_block then
        done := pgpipe_internal.is_filled(filling);
        last_block := case when done then filling.end_block else 0 end;
    end if;
    update pgpipe.search_fill known
       set next_block = last_block, filled = known.filled + batch.written
     where known.target = fill_batch.target
    returning known.filled into filled;
end
$$;
comment on function pgpipe_internal.fill_batch(regclass, int) is
    'Fills the search column in about so many rows, from where the last batch ended. Returns how '
    'many are filled by now, how many rows the target has (an estimate), and whether none is '
    'left. A batch is a transaction of its caller''s. Raises PP005 if nothing is being filled, or '
    'if a trigger of the table undoes it.';

create or replace function pgpipe_internal.finish_search(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    filled pgpipe.search_fill;
    serving pgpipe.search;
    missing text;
begin
    select * into filled from pgpipe.search_fill known
     where known.target = finish_search.target for update;
    if not found then
        return;
    elsif not pgpipe_internal.is_filled(filled) then
        raise exception 'the search of % is not filled yet', target using errcode = 'PP005',
            hint = format('Run `pgpipe fill-search`, or call pgpipe.fill_search(%L).', target);
    end if;
    select string_agg(step.statement, '; ') into missing
      from pgpipe_internal.search_index_statements(target) step (statement);
    if missing is not null then
        raise exception 'the search of % has no index yet', target using errcode = 'PP005',
            hint = 'Run ' || missing;
    end if;
    perform pgpipe_internal.execute_briefly(
        format('lock table %s in access exclusive mode', target));
    delete from pgpipe.search known where known.target = finish_search.target
    returning * into serving;
    if serving.target is not null then
        perform pgpipe_internal.replace_search_column(filled, serving.column_name);
        filled.column_name := serving.column_name;
    end if;
    insert into pgpipe.search (target, column_name, weights, language, language_column, version,
                               by_trigger, documents, mean_length, title)
    values (target, filled.column_name, filled.weights, filled.language, filled.language_column,
            filled.version, true, coalesce(serving.documents, 0),
            coalesce(serving.mean_length, 0), serving.title);
    perform pgpipe_internal.keep_ranking(serving);
    delete from pgpipe.search_fill known where known.target = finish_search.target;
end
$$;
comment on function pgpipe_internal.finish_search(regclass) is
    'Searches go to the filled column from this statement on. The one that served is dropped, and '
    'the new one takes its name. Nothing is done if nothing is being filled. Raises PP005 if rows '
    'are left, or an index.';

create or replace function pgpipe_internal.replace_search_column(
    filled pgpipe.search_fill, serving name)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    formerly constant name := filled.column_name;
begin
    perform pgpipe_internal.drop_search_column(filled.target, serving);
    execute format('alter table %s rename column %I to %I', filled.target, formerly, serving);
    filled.column_name := serving;
    perform pgpipe_internal.keep_search_column(filled, formerly);
end
$$;
comment on function pgpipe_internal.replace_search_column(pgpipe.search_fill, name) is
    'Drops the column that served, and gives its name to the one that was filled.';
