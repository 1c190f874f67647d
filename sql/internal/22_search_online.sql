-- A search column for a table in use: a plain column, a trigger that keeps it, and batches that fill it. No rewrite, no long lock.

create or replace function pgpipe_internal.execute_briefly(statement text)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'  language plpgsql
as $$
declare
    attempts constant int := 60;
begin
    for attempt in 1 .. attempts loop
        begin
            execute statement;
            return;
        exception when lock_not_available then
            -- Whoever waits for a lock holds up all that come after: give way, and try again.
            if attempt = attempts then
                raise;
            end if;
        end;
        perform pg_sleep(0.1 + random());
    end loop;
end
$$;
comment on function pgpipe_internal.execute_briefly(text) is
    'Executes a statement that needs a strong lock, waiting for it half a second at a time so that others get through in between. '
    'Raises lock_not_available after a minute or so.';

create or replace function pgpipe_internal.search_keeper(target regclass, column_name name, out trigger name, out function regproc)
    stable strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    select g.tgname, g.tgfoid::regproc
      from pg_catalog.pg_trigger g
      join pg_catalog.pg_proc p on p.oid = g.tgfoid and right(p.proname, -10 + length(g.tgname)) = substr(g.tgname, 11)
     where g.tgrelid = target and g.tgname ~ '^zzz_pgpipe_search_'
       and g.tgargs = convert_to(column_name::text, getdatabaseencoding()) || '\x00'
$$;
comment on function pgpipe_internal.search_keeper(regclass, name) is
    'The trigger that keeps a search column, and its function; null where PostgreSQL generates it. The trigger''s argument names the '
    'column: that outlives a dump, which numbers do not.';

create or replace function pgpipe_internal.keep_search_column(f pgpipe.search_fill, formerly name default null)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    inputs name[] := array(select jsonb_object_keys(f.weights) union select f.language_column where f.language_column is not null);
    name name;
    function text;
begin
    select k.trigger, k.function into name, function from pgpipe_internal.search_keeper(f.target, formerly) k;
    if name is null then
        name := 'zzz_pgpipe_search_' || to_hex((extract(epoch from clock_timestamp()) * 1000000)::bigint);
        select format('%I.%I', n.nspname, pgpipe_internal.derived_name(c.relname, substr(name, 11))) into function
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = f.target;
    else
        execute format('drop trigger %I on %s', name, f.target);
    end if;
    -- The body is a literal: between dollar quotes, a column with such quotes in its name would end it.
    execute format('create or replace function %s() returns trigger  set search_path = pg_catalog, pg_temp  language plpgsql as %L',
        function, format($sql$
        begin
            if tg_op = 'INSERT' or new.%1$I is null or %2$s then
                new.%1$I := %3$s;
            end if;
            return new;
        end
        $sql$, f.column_name, pgpipe_internal.changed(inputs || f.column_name, 'new', 'old'),
        pgpipe_internal.search_expression(f.target, f.weights, pgpipe_internal.declared_language(f.target, f.language),
                                 f.language_column, 'new')));
    execute format('comment on function %s() is %L', function, format('Keeps %s.%I; made by pgpipe.', f.target, f.column_name));
    -- The last of the table's triggers by name, so the last to run: it sees what the others made of the row.
    execute format('create trigger %I before insert or update on %s for each row execute function %s(%L)',
                   name, f.target, function, f.column_name);
end
$$;
comment on function pgpipe_internal.keep_search_column(pgpipe.search_fill, name) is
    'Puts the trigger on a target that computes a search column. If a trigger kept the column '
    'under its former name, it keeps it now.';

create or replace function pgpipe_internal.drop_search_column(target regclass, column_name name)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    keeper record;
begin
    select * into keeper from pgpipe_internal.search_keeper(target, column_name);
    if keeper.trigger is not null then
        execute format('drop trigger %I on %s', keeper.trigger, target);
        execute format('drop function %s()', keeper.function);
    end if;
    if pgpipe_internal.has_column(target, column_name) then
        execute format('alter table %s drop column %I', target, column_name);
    end if;
end
$$;
comment on function pgpipe_internal.drop_search_column(regclass, name) is 'Drops a search column with its index, and the trigger that keeps it.';

create or replace function pgpipe_internal.start_fill(wanted pgpipe.search_fill)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if exists (select from pg_catalog.pg_inherits h join pg_catalog.pg_class c on c.oid = h.inhrelid
                where h.inhparent = wanted.target and not c.relispartition) then
        raise exception '% has child tables, whose rows its trigger does not see', wanted.target using errcode = 'PP003',
            hint = 'Leave `online` out; where it is searched already, call pgpipe.disable_search first.';
    end if;
    perform pgpipe_internal.execute_briefly(format('alter table %s add column %2$I tsvector, alter column %2$I set storage main',
                                          wanted.target, wanted.column_name));
    perform pgpipe_internal.keep_search_column(wanted);
    insert into pgpipe.search_fill (target, column_name, weights, language, language_column, end_block)
    select wanted.target, wanted.column_name, wanted.weights, wanted.language, wanted.language_column,
           coalesce(max(pg_catalog.pg_relation_size(l.relid) / current_setting('block_size')::int), 0) + 1
      from (select wanted.target as relid union select p.relid from pg_catalog.pg_partition_tree(wanted.target) p where p.isleaf) l
      join pg_catalog.pg_class c on c.oid = l.relid and c.relkind in ('r', 'f');
end
$$;
comment on function pgpipe_internal.start_fill(pgpipe.search_fill) is
    'Adds the column that a fill will fill, and the trigger that keeps it from now on.';

create or replace function pgpipe_internal.ensure_search(
    target regclass, columns text, language regconfig, column_name name default 'search', language_column name default null,
    online_above bigint default 8000000)
    returns boolean  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if exists (select from pgpipe.search s where s.target = ensure_search.target and s.column_name = ensure_search.column_name) then
        perform pgpipe.alter_search(target, columns, language, coalesce(language_column, ''));
    else
        perform pgpipe.enable_search(target, columns, language, column_name, true, language_column,
            exists (select from pgpipe.search_fill f where f.target = ensure_search.target)
            or pg_catalog.pg_relation_size(target) > online_above);
    end if;
    if not exists (select from pgpipe.search_fill f where f.target = ensure_search.target) then
        perform pgpipe_internal.index_search(target);
        return false;
    end if;
    return true;
end
$$;
comment on function pgpipe_internal.ensure_search(regclass, text, regconfig, name, name, bigint) is
    'Makes the declared search the one of the target, whatever it had before: at once for a new one of few bytes, else online. Returns '
    'whether something is being filled. Raises as enable_search.';

create or replace function pgpipe_internal.fill_batch(target regclass, rows int default 2000,
    out filled bigint, out total bigint, out done boolean)
    volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    f pgpipe.search_fill;
    last_block bigint;
    picked bigint;
    written bigint;
begin
    select * into f from pgpipe.search_fill x where x.target = fill_batch.target for update;
    if not found then
        raise exception 'nothing is being filled in %', target using errcode = 'PP005',
            hint = 'It begins with enable_search(…, online => true) or alter_search.';
    end if;
    perform pgpipe_internal.declared_language(f.target, f.language);
    total := pgpipe_internal.known_rows(f.target);
    last_block := f.next_block + greatest(1, rows * f.end_block / greatest(total, 1));
    -- A locked row is left for another round: a batch that waits for a writer could be in a deadlock with it. The trigger computes.
    execute format($sql$
        with picked as materialized (
            select b.tableoid as part, b.ctid as place from %1$s b
             where b.ctid >= $1 and b.ctid < $2 and b.%2$I is null for no key update skip locked
        ), written as (
            update %1$s t set %2$I = null from picked b
             where t.tableoid = b.part and t.ctid = b.place and t.ctid >= $1 and t.ctid < $2
            returning t.%2$I is not null as filled
        )
        select (select count(*) from picked), (select count(*) from written w where w.filled)
        $sql$, f.target, f.column_name) into picked, written
        using format('(%s,0)', f.next_block)::tid, format('(%s,0)', last_block)::tid;
    if written < picked then  -- else it would be tried for ever
        raise exception '% rows of % could not be filled: a trigger of the table undoes it', picked - written, f.target
            using errcode = 'PP005', hint = 'Disable that trigger until the column is filled.';
    end if;
    done := false;
    if last_block >= f.end_block then
        execute format('select not exists (select from %s t where t.%I is null)', f.target, f.column_name) into done;
        last_block := case when done then f.end_block else 0 end;
    end if;
    update pgpipe.search_fill x set next_block = last_block, filled = x.filled + written where x.target = fill_batch.target
        returning x.filled into filled;
end
$$;
comment on function pgpipe_internal.fill_batch(regclass, int) is
    'Fills the search column in about so many rows, from where the last batch ended. Returns how '
    'many are filled by now, how many rows the target has (an estimate), and whether none is '
    'left. A batch is a transaction of its caller''s. Raises PP005 where nothing is being filled, '
    'and where a trigger of the table undoes it.';

create or replace function pgpipe_internal.finish_search(target regclass)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    f pgpipe.search_fill;
    serving pgpipe.search;
    left_over boolean;
    missing text;
    formerly name;
begin
    select * into f from pgpipe.search_fill x where x.target = finish_search.target for update;
    if not found then
        return;
    end if;
    execute format('select exists (select from %s t where t.%I is null)', f.target, f.column_name) into left_over;
    if left_over then
        raise exception 'the search of % is not filled yet', target using errcode = 'PP005',
            hint = format('Run `pgpipe fill-search`, or call pgpipe.fill_search(%L).', target);
    end if;
    select string_agg(i.statement, '; ') into missing from pgpipe_internal.search_index_statements(target) i (statement);
    if missing is not null then
        raise exception 'the search of % has no index yet', target using errcode = 'PP005', hint = 'Run ' || missing;
    end if;
    perform pgpipe_internal.execute_briefly(format('lock table %s in access exclusive mode', target));
    delete from pgpipe.search s where s.target = finish_search.target returning * into serving;
    if serving.target is not null then
        perform pgpipe_internal.drop_search_column(target, serving.column_name);
        execute format('alter table %s rename column %I to %I', target, f.column_name, serving.column_name);
        formerly := f.column_name;
        f.column_name := serving.column_name;
        perform pgpipe_internal.keep_search_column(f, formerly);
    end if;
    insert into pgpipe.search (target, column_name, weights, language, language_column, by_trigger, documents, mean_length)
    values (target, f.column_name, f.weights, f.language, f.language_column, true,
            coalesce(serving.documents, 0), coalesce(serving.mean_length, 0));
    delete from pgpipe.search_fill x where x.target = finish_search.target;
end
$$;
comment on function pgpipe_internal.finish_search(regclass) is
    'Searches go to the filled column from this statement on. The one that served is dropped, and the new one takes its name. Nothing is '
    'done where nothing is being filled. Raises PP005 where rows are left, or an index.';
