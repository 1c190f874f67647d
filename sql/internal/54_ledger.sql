-- The ledger: which files are in a target, and which of their rows were rejected.

create or replace function pgpipe_internal.forget_files()
    returns trigger
    security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.load_file held where held.entity = tg_argv[0] and held.schema = tg_argv[1];
    delete from pgpipe.tombstone held where held.entity = tg_argv[0] and held.schema = tg_argv[1];
    return null;
end
$$;
comment on function pgpipe_internal.forget_files() is 'Trigger: a truncated target holds no file.';

create or replace function pgpipe_internal.has_ledger(target regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_trigger keeper
                    where keeper.tgrelid = target and keeper.tgname = 'pgpipe_ledger')
           -- No trigger stands on a distributed table: a CHECK that is always true marks it.
        or exists (select from pg_catalog.pg_constraint marker
                    where marker.conrelid = target and marker.conname = 'pgpipe_ledger'
                      and marker.contype = 'c')
$$;
comment on function pgpipe_internal.has_ledger(regclass) is
    'Whether pgpipe made this table or has loaded it. What marks it goes with the table and comes '
    'back with a restore.';

create or replace function pgpipe_internal.record_files(load_id bigint, files jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_load pgpipe.load;
    known pgpipe.load_file[];
    rejects pgpipe.rejected_row[];
begin
    select * into strict of_load from pgpipe.load load
     where load.load_id = record_files.load_id;
    -- Bytes that were recognised were not read: what the ledger knows of them goes over to their
    -- new name.
    known := array(
        select held from pgpipe.load_file held
          join jsonb_to_recordset(files) file (etag text, recognised boolean)
            on file.recognised and file.etag = held.etag
         where held.entity = of_load.entity and held.schema = of_load.schema);
    rejects := array(
        select reject from pgpipe.rejected_row reject
          join unnest(known) held on (held.schema, held.entity, held.file, held.etag)
                                   = (reject.schema, reject.entity, reject.file, reject.etag));
    perform pgpipe_internal.forget_replaced(of_load, files);
    perform pgpipe_internal.commit_together()
      where pgpipe_internal.is_distributed(
                to_regclass(format('%I.%I', of_load.schema, of_load.entity)));
    insert into pgpipe.load_file
           (schema, entity, file, etag, date, bytes, read, rejected, load_id)
    select of_load.schema, of_load.entity, file.file, file.etag, of_load.date, file.bytes,
           coalesce(earlier.read, file.read), coalesce(earlier.rejected, file.rejected),
           of_load.load_id
      from jsonb_to_recordset(files)
           file (file text, etag text, bytes bigint, read bigint, rejected bigint)
      left join (select held.etag, max(held.read) as read, max(held.rejected) as rejected
                   from unnest(known) held group by held.etag) earlier using (etag);
    perform pgpipe_internal.keep_rejects(of_load, files, rejects);
end
$$;
comment on function pgpipe_internal.record_files(bigint, jsonb) is
    'Enters the files of a load, [{"file", "etag", "bytes", "read", "rejected", "recognised"}]. A '
    'snapshot replaces all earlier entries, because what it holds is what there is. An upsert '
    'replaces those of the same files. Rejected rows go with the entry of their file.';

create or replace function pgpipe_internal.forget_replaced(load pgpipe.load, files jsonb)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- A later version of a file took the place of its rows: if the earlier one is put back, it has
    -- to be loaded again. What was appended is there still.
    delete from pgpipe.load_file held
     where held.entity = load.entity and held.schema = load.schema and load.mode <> 'append'
       and (load.mode = 'snapshot'
            or held.file in (select file.file from jsonb_to_recordset(files) file (file text)))
$$;
comment on function pgpipe_internal.forget_replaced(pgpipe.load, jsonb) is
    'Forgets the files that a load replaces: all of a snapshot, those of the same name of an '
    'upsert.';

create or replace function pgpipe_internal.keep_rejects(
    load pgpipe.load, files jsonb, rejects pgpipe.rejected_row[])
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    insert into pgpipe.rejected_row
           (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row,
            load_id, rejected_at)
    select reject.schema, reject.entity, file.file, reject.etag, reject.row_group,
           reject.row_number, reject.column_name, reject.reason, reject.key, reject.row,
           reject.load_id, reject.rejected_at
      from unnest(rejects) reject
      join jsonb_to_recordset(files) file (file text, etag text, recognised boolean)
        on file.recognised and file.etag = reject.etag
    on conflict do nothing
$$;
comment on function pgpipe_internal.keep_rejects(pgpipe.load, jsonb, pgpipe.rejected_row[]) is
    'Keeps the rejected rows of files that were recognised under another name.';

create or replace function pgpipe_internal.reject_rows(load_id bigint, rows jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    insert into pgpipe.rejected_row
           (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row,
            load_id)
    select load.schema, load.entity, reject.file, reject.etag, reject.row_group,
           reject.row_number, reject.column_name, reject.reason, reject.key, reject.row,
           load.load_id
      from pgpipe.load load
     cross join jsonb_to_recordset(rows)
           reject (file text, etag text, row_group int, row_number bigint, column_name text,
                   reason text, key jsonb, row jsonb)
     where load.load_id = reject_rows.load_id
$$;
comment on function pgpipe_internal.reject_rows(bigint, jsonb) is
    'Keeps the rows that a load rejected, [{"file", "etag", "row_group", "row_number", '
    '"column_name", "reason", "key", "row"}]. Call it in the transaction of record_files, after '
    'it.';
