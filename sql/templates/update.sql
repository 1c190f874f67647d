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
    came jsonb[];
    went jsonb[];
    are_many boolean;
    unread text;
begin
    begin  -- reads only: a write would take the id of a subtransaction
        -- For up to 100 rows: a plan that is good for them is quadratic for many, and it is kept.
        select size.are_many,
               array(select {key_of_after} from new_rows after
                       left join old_rows before on {same_key}
                      where not size.are_many
                        and case when before.{first_key} is not distinct from null then true
                                 when {condition_of_after}
                                 then not {condition_of_before} or {changed}
                                 else {condition_of_before} end),
               array(select {key_of_before} from old_rows before
                      where not size.are_many
                        and not exists (select from new_rows after where {same_key}))
          into are_many, came, went
          from (select exists (select from new_rows offset 100) as are_many offset 0) size;
    exception
        when insufficient_privilege then raise;
        when syntax_error_or_access_rule_violation or invalid_text_representation then
            unread := sqlstate;
    end;
    if unread is not null then
        perform pgpipe_internal.note_missed({embedding}, unread);
        return null;
    elsif not are_many then
        if cardinality(went) > 0 then
            perform pgpipe_internal.forget_keys({embedding}, went);
        end if;
        if cardinality(came) > 0 then
            perform pgpipe_internal.enqueue_keys({embedding}, came, false);
        end if;
        return null;
    end if;
    keys := '{}';
    for key in select {key_of_before} from old_rows before
                where not exists (select from new_rows after where {same_key}) loop
        keys := keys || key;
        if cardinality(keys) = 10000 then
            perform pgpipe_internal.forget_keys({embedding}, keys);
            keys := '{}';
        end if;
    end loop;
    if cardinality(keys) > 0 then
        perform pgpipe_internal.forget_keys({embedding}, keys);
    end if;
    keys := '{}';
    for key in select {key_of_after} from new_rows after
                 left join old_rows before on {same_key}
                where case when before.{first_key} is not distinct from null then true
                           when {condition_of_after} then not {condition_of_before} or {changed}
                           else {condition_of_before} end loop
        keys := keys || key;
        if cardinality(keys) = 10000 then
            perform pgpipe_internal.enqueue_keys({embedding}, keys, false);
            keys := '{}';
        end if;
    end loop;
    if cardinality(keys) > 0 then
        perform pgpipe_internal.enqueue_keys({embedding}, keys, false);
    end if;
    return null;
end
$body$
