-- The ledger: which files are in a target, and which of their rows were rejected.

create or replace function pgpipe_internal.forget_files()
    returns trigger  security definer  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    delete from pgpipe.load_file f where f.entity = tg_argv[0] and f.schema = tg_argv[1];
    return null;
end
$$;
comment on function pgpipe_internal.forget_files() is 'Trigger: a truncated target holds no file.';

create or replace function pgpipe_internal.has_ledger(target regclass)
    returns boolean  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select exists (select from pg_catalog.pg_trigger g where g.tgrelid = target and g.tgname = 'pgpipe_ledger')
$$;
comment on function pgpipe_internal.has_ledger(regclass) is
    'Whether pgpipe made this table or has loaded it. The trigger goes with the table and comes back with a restore.';

create or replace function pgpipe_internal.record_files(load_id bigint, files jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    of_load pgpipe.load;
    held pgpipe.load_file[];
    set_aside pgpipe.rejected_row[];
begin
    select * into strict of_load from pgpipe.load l where l.load_id = record_files.load_id;
    -- Bytes that were recognised were not read: what the ledger knows of them goes over to their new name.
    held := array(select f from pgpipe.load_file f
                    join jsonb_to_recordset(files) n (etag text, recognised boolean) on n.recognised and n.etag = f.etag
                   where f.entity = of_load.entity and f.schema = of_load.schema);
    set_aside := array(select r from pgpipe.rejected_row r join unnest(held) h 
                                    on (h.schema, h.entity, h.file, h.etag) = (r.schema, r.entity, r.file, r.etag));
    -- A later version of a file took the place of its rows; were the earlier one put back, it would have to be loaded again. What was
    -- appended is there still.
    delete from pgpipe.load_file f
     where f.entity = of_load.entity and f.schema = of_load.schema and of_load.mode <> 'append'
       and (of_load.mode = 'snapshot' or f.file in (select n.file from jsonb_to_recordset(files) n (file text)));
    insert into pgpipe.load_file (schema, entity, file, etag, date, bytes, read, rejected, load_id)
    select of_load.schema, of_load.entity, f.file, f.etag, of_load.date, f.bytes, coalesce(h.read, f.read),
           coalesce(h.rejected, f.rejected), of_load.load_id
      from jsonb_to_recordset(files) f (file text, etag text, bytes bigint, read bigint, rejected bigint)
      left join (select e.etag, max(e.read) as read, max(e.rejected) as rejected from unnest(held) e group by e.etag) h on h.etag = f.etag;
    insert into pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row, load_id, rejected_at)
    select r.schema, r.entity, f.file, r.etag, r.row_group, r.row_number, r.column_name, r.reason, r.key, r.row, r.load_id, r.rejected_at
      from unnest(set_aside) r
      join jsonb_to_recordset(files) f (file text, etag text, recognised boolean) on f.recognised and f.etag = r.etag
    on conflict do nothing;
end
$$;
comment on function pgpipe_internal.record_files(bigint, jsonb) is
    'Enters the files of a load, [{"file", "etag", "bytes", "read", "rejected", "recognised"}]. A snapshot replaces all earlier entries, '
    'what it holds is what there is; an upsert those of the same files. Rejected rows go with the entry of their file.';

create or replace function pgpipe_internal.reject_rows(load_id bigint, rows jsonb)
    returns void  volatile strict  set search_path = pg_catalog, pg_temp  language sql
as $$
    insert into pgpipe.rejected_row (schema, entity, file, etag, row_group, row_number, column_name, reason, key, row, load_id)
    select l.schema, l.entity, r.file, r.etag, r.row_group, r.row_number, r.column_name, r.reason, r.key, r.row, l.load_id
      from pgpipe.load l, jsonb_to_recordset(rows) r (file text, etag text, row_group int, row_number bigint, column_name text,
                                                      reason text, key jsonb, row jsonb)
     where l.load_id = reject_rows.load_id
$$;
comment on function pgpipe_internal.reject_rows(bigint, jsonb) is
    'Keeps the rows that a load rejected, [{"file", "etag", "row_group", "row_number", "column_name", "reason", "key", "row"}]. Call it '
    'in the transaction of record_files, after it.';
