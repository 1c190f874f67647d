-- Tokens of the search API: which roles they may act as, and how many requests each has left.

create or replace function pgpipe_internal.require_token_role(role name)
    returns void  stable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    wanted pg_catalog.pg_roles;
begin
    select * into wanted from pg_catalog.pg_roles known where known.rolname = role;
    if not found then
        raise exception 'the role % does not exist', quote_ident(role) using errcode = 'PP020',
            hint = 'Name one that may read what the token is for, or create the roles of pgpipe: '
                   '`pgpipe roles`.';
    elsif wanted.rolsuper or wanted.rolbypassrls then
        raise exception 'a token may not act as %, which no policy of rows restricts',
            quote_ident(role) using errcode = 'PP020',
            hint = 'Name a role that may read what the token is for, and no more.';
    elsif pg_has_role(role, 'pgpipe_api', 'member')
          or pg_has_role(role, (select class.relowner from pg_catalog.pg_class class
                                 where class.oid = 'pgpipe.token'::regclass), 'member') then
        raise exception 'a token may not act as %, which may read the tokens', quote_ident(role)
            using errcode = 'PP020',
            hint = 'Name a role that may read what the token is for, and no more.';
    elsif not pg_has_role('pgpipe_api', role, 'member') then
        raise exception 'pgpipe_api may not act as %', quote_ident(role) using errcode = 'PP020',
            hint = format('Run: grant %I to pgpipe_api', role);
    end if;
end
$$;
comment on function pgpipe_internal.require_token_role(name) is
    'Raises PP020 for a role that a token may not act as, with what to run or name instead.';

create or replace function pgpipe_internal.add_token(
    token_id text, hash bytea, name text, role name, entities oid[], per_minute int, burst int,
    expires_at timestamptz)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
begin
    if to_regrole('pgpipe_api') is null then
        raise exception 'the role pgpipe_api is missing' using errcode = 'PP020',
            hint = 'Run `pgpipe roles`.';
    end if;
    perform pgpipe_internal.require_token_role(role);
    insert into pgpipe.token (token_id, hash, name, role, entities, per_minute, burst, expires_at)
    values (add_token.token_id, add_token.hash, add_token.name, add_token.role,
            add_token.entities::regclass[], add_token.per_minute, add_token.burst,
            add_token.expires_at);
end
$$;
comment on function pgpipe_internal.add_token(
    text, bytea, text, name, oid[], int, int, timestamptz) is
    'Notes a token of the search API by its hash. The token itself never reaches the server.';

create or replace function pgpipe_internal.take_requests(
    token text, wanted int, unspent int, out granted int, out wait double precision)
    returns setof record  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    known pgpipe.token;
    rate double precision;
    left_over double precision;
begin
    select * into known from pgpipe.token t
     where t.token_id = token and t.revoked_at is null and (t.expires_at > now()) is not false;
    if not found then
        return;
    end if;
    rate := known.per_minute / 60.0;
    loop
        -- The moment is read under the lock: it never lies before the one that is stored.
        select bucket.level + unspent into left_over from pgpipe.token_bucket bucket
         where bucket.token_id = token for update;
        exit when found;
        insert into pgpipe.token_bucket values (token, known.burst, clock_timestamp())
            on conflict do nothing;
    end loop;
    update pgpipe.token_bucket bucket
       set level = least(known.burst, left_over + rate * greatest(0, extract(
                         epoch from clock_timestamp() - bucket.at)::double precision)),
           at = clock_timestamp()
     where bucket.token_id = token returning bucket.level into left_over;
    granted := least(wanted, floor(left_over));
    wait := case when granted > 0 then 0 else (1 - left_over) / rate end;
    update pgpipe.token_bucket bucket set level = left_over - granted
     where bucket.token_id = token and granted > 0;
    update pgpipe.token t set used_on = (now() at time zone 'UTC')::date
     where t.token_id = token and granted > 0
       and t.used_on is distinct from (now() at time zone 'UTC')::date;
    return next;
end
$$;
comment on function pgpipe_internal.take_requests(text, int, int) is
    'Takes at most so many requests of a token out of its bucket, after putting back what was not '
    'spent. `wait`: seconds until there is one. No row if the token holds no more. One row is '
    'locked for the moment of the statement: other tokens do not wait.';
