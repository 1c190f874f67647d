-- Filling: an SQL text with {holes} becomes a statement. Whatever is composed is composed by this.

create or replace function pgpipe_internal.fill(template text, parts jsonb)
    returns text  immutable strict  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    pieces constant text[] := string_to_array(template, '{');
    filled text := pieces[1];
    used text[] := '{}';
    piece text;
    hole text;
begin
    -- In one pass, from brace to brace: braces within a part stay as they are.
    foreach piece in array pieces[2:] loop
        hole := split_part(piece, '}', 1);
        if parts ? hole then
            filled := filled || coalesce(parts ->> hole, '') || substr(piece, length(hole) + 2);
            used := used || hole;
        elsif hole ~ '^\w+$' then
            raise exception 'a template does not fit its parts: % is missing', hole;
        else
            filled := filled || '{' || piece;
        end if;
    end loop;
    if parts - used <> '{}' then
        raise exception 'a template does not fit its parts: %',
            (select string_agg(name, ', ') from jsonb_object_keys(parts - used) name);
    end if;
    return filled;
end
$$;
comment on function pgpipe_internal.fill(text, jsonb) is
    'A text whose {holes} are filled by the parts of these names. Raises an error if a hole has no '
    'part, or a part no hole.';
