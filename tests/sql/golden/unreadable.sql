-- Says which keys of a batch no row of the table can have.
create or replace function pgpipe_target.unreadable_1(
    batch pgpipe_internal.batch_row[])
    returns boolean[]
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $body$
begin
    return array(select pg_catalog.pg_input_is_valid(job.key ->> 'shop', 'integer') is false or pg_catalog.pg_input_is_valid(job.key ->> 'Item no', 'text') is false from unnest(batch) job);
exception when others or assert_failure then  -- of a type that does not say so: to read it does
    return array_fill(false, array[cardinality(batch)]);
end
$body$
