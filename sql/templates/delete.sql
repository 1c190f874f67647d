create or replace function pgpipe_target.{name}()
    returns trigger  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1 set jit = off
    language plpgsql
as $body$
declare
    key jsonb;
    keys jsonb[];
    unread text;
begin
    begin  -- reads only: a write would take the id of a subtransaction
        keys := array(select {key_of_before} from old_rows before limit 101);
    exception
        when insufficient_privilege then raise;
        when syntax_error_or_access_rule_violation or invalid_text_representation then
            unread := sqlstate;
    end;
    if unread is not null then
        perform pgpipe_internal.note_missed({embedding}, unread);
    elsif cardinality(keys) <= 100 then
        if cardinality(keys) > 0 then
            perform pgpipe_internal.forget_keys({embedding}, keys);
        end if;
    else
        keys := '{}';
        for key in select {key_of_before} from old_rows before loop
            keys := keys || key;
            if cardinality(keys) = 10000 then
                perform pgpipe_internal.forget_keys({embedding}, keys);
                keys := '{}';
            end if;
        end loop;
        if cardinality(keys) > 0 then
            perform pgpipe_internal.forget_keys({embedding}, keys);
        end if;
    end if;
    return null;
end
$body$
