create or replace function pgpipe_target.{name}()
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
        keys := array(select {key_of_added} from new_rows added
                       where {condition_of_added} limit 101);
    exception
        when insufficient_privilege then raise;
        when syntax_error_or_access_rule_violation or invalid_text_representation then
            unread := sqlstate;
    end;
    if unread is not null then
        perform pgpipe_internal.note_missed({embedding}, unread);
    elsif cardinality(keys) <= 100 then
        if cardinality(keys) > 0 then
            perform pgpipe_internal.enqueue_keys({embedding}, keys, true);
        end if;
    else
        keys := '{}';
        for key in select {key_of_added} from new_rows added where {condition_of_added} loop
            keys := keys || key;
            if cardinality(keys) = 10000 then
                perform pgpipe_internal.enqueue_keys({embedding}, keys, true);
                keys := '{}';
            end if;
        end loop;
        perform pgpipe_internal.enqueue_keys({embedding}, keys, true);
    end if;
    return null;
end
$body$
