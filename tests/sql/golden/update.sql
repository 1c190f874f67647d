create or replace function pgpipe_target.update_1()
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
               array(select pg_catalog.jsonb_build_object('shop', after.shop, 'Item no', after."Item no") from new_rows after
                       left join old_rows before on after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no"
                      where not size.are_many
                        and case when before.shop is not distinct from null then true
                                 when exists (select from (select after.*) t where ((NOT sold)
))
                                 then not exists (select from (select before.*) t where ((NOT sold)
)) or row(after.title, after.body)::pg_catalog.record operator(pg_catalog.*<>) row(before.title, before.body)::pg_catalog.record
                                 else exists (select from (select before.*) t where ((NOT sold)
)) end),
               array(select pg_catalog.jsonb_build_object('shop', before.shop, 'Item no', before."Item no") from old_rows before
                      where not size.are_many
                        and not exists (select from new_rows after where after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no"))
          into are_many, came, went
          from (select exists (select from new_rows offset 100) as are_many offset 0) size;
    exception
        when insufficient_privilege then raise;
        when syntax_error_or_access_rule_violation or invalid_text_representation then
            unread := sqlstate;
    end;
    if unread is not null then
        perform pgpipe_internal.note_missed(1, unread);
        return null;
    elsif not are_many then
        if cardinality(went) > 0 then
            perform pgpipe_internal.forget_keys(1, went);
        end if;
        if cardinality(came) > 0 then
            perform pgpipe_internal.enqueue_keys(1, came, false);
        end if;
        return null;
    end if;
    keys := '{}';
    for key in select pg_catalog.jsonb_build_object('shop', before.shop, 'Item no', before."Item no") from old_rows before
                where not exists (select from new_rows after where after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no") loop
        keys := keys || key;
        if cardinality(keys) = 10000 then
            perform pgpipe_internal.forget_keys(1, keys);
            keys := '{}';
        end if;
    end loop;
    if cardinality(keys) > 0 then
        perform pgpipe_internal.forget_keys(1, keys);
    end if;
    keys := '{}';
    for key in select pg_catalog.jsonb_build_object('shop', after.shop, 'Item no', after."Item no") from new_rows after
                 left join old_rows before on after.shop operator(pg_catalog.=) before.shop and after."Item no" operator(pg_catalog.=) before."Item no"
                where case when before.shop is not distinct from null then true
                           when exists (select from (select after.*) t where ((NOT sold)
)) then not exists (select from (select before.*) t where ((NOT sold)
)) or row(after.title, after.body)::pg_catalog.record operator(pg_catalog.*<>) row(before.title, before.body)::pg_catalog.record
                           else exists (select from (select before.*) t where ((NOT sold)
)) end loop
        keys := keys || key;
        if cardinality(keys) = 10000 then
            perform pgpipe_internal.enqueue_keys(1, keys, false);
            keys := '{}';
        end if;
    end loop;
    if cardinality(keys) > 0 then
        perform pgpipe_internal.enqueue_keys(1, keys, false);
    end if;
    return null;
end
$body$
