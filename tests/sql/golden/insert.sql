create or replace function pgpipe_target.insert_1()
    returns trigger  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set jit = off
    language plpgsql
as $body$
#variable_conflict use_column
declare
    key jsonb;
    keys jsonb[];
    unread text;
begin
    begin  -- reads only: a write would take the id of a subtransaction
        keys := array(select pg_catalog.jsonb_build_object('shop', added.shop, 'Item no', added."Item no") from new_rows added
                       where exists (select from (select added.*) t where ((NOT sold)
)) limit 101);
    exception
        when insufficient_privilege then raise;
        when syntax_error_or_access_rule_violation or invalid_text_representation then
            unread := sqlstate;
    end;
    if unread is not null then
        perform pgpipe_internal.note_missed(1, unread);
    elsif cardinality(keys) <= 100 then
        if cardinality(keys) > 0 then
            perform pgpipe_internal.enqueue_keys(1, keys, true);
        end if;
    else
        keys := '{}';
        for key in select pg_catalog.jsonb_build_object('shop', added.shop, 'Item no', added."Item no") from new_rows added where exists (select from (select added.*) t where ((NOT sold)
)) loop
            keys := keys || key;
            if cardinality(keys) = 10000 then
                perform pgpipe_internal.enqueue_keys(1, keys, true);
                keys := '{}';
            end if;
        end loop;
        perform pgpipe_internal.enqueue_keys(1, keys, true);
    end if;
    return null;
end
$body$
