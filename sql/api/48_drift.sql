-- requires: vector
-- Drift: how far what is stored is from what is declared. Applied once pgvector is installed.

create or replace function pgpipe.embedding_drift(target regclass, sample int default 1000)
    returns table (name text, model text, active boolean, rows bigint, missing double precision,
                   other_text double precision, other_model double precision,
                   orphans double precision)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres'
    set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    for e in
        select * from pgpipe.embedding known where known.target = embedding_drift.target
         order by known.active desc, known.embedding_id
    loop
        perform pgpipe_internal.require_all_rows(e), pgpipe_internal.require_computable(e);
        select e.name, e.model, e.active into name, model, active;
        execute format($sql$
            select count(*), avg((stored.chunk is null)::int),
                   avg((stored.content_hash <> input.hash)::int), avg((stored.model <> $1)::int)
              from (select %1$s, pgpipe_internal.content_hash(%2$s) as hash
                      from %3$s t tablesample bernoulli (%4$s)) input
              left join %5$s stored on %6$s and stored.chunk = 0
             where input.hash is not null
            $sql$, pgpipe_internal.numbered_list(e.key_columns, 't'),
            pgpipe_internal.input_expression(
                e.columns, e.template, pgpipe_internal.present_condition(e)), target,
            pgpipe_internal.sampled_percent(target, sample), e.store,
            pgpipe_internal.same_numbered(e.target, e.key_columns, 'input', 'stored'))
            into rows, missing, other_text, other_model using e.model;
        execute format($sql$
            select avg((not exists (select from %1$s target where %2$s))::int)
              from %3$s stored tablesample bernoulli (%4$s) where stored.chunk = 0
            $sql$, target, pgpipe_internal.same_key(target, e.key_columns, 'target', 'stored'),
            e.store, pgpipe_internal.sampled_percent(e.store, sample)) into orphans;
        return next;
    end loop;
end
$$;
comment on function pgpipe.embedding_drift(regclass, int) is
    'Per embedding, over a random sample of about `sample` rows that have a text: how far vectors '
    'are from what is declared. `missing` is the share of rows without a vector. `other_text` and '
    '`other_model` are the shares, of those with one, of vectors of another text, and of another '
    'model than declared. `orphans` is the share of sampled vectors whose row is gone. '
    'Example: select name, missing, other_text from pgpipe.embedding_drift(''article'', '
    'sample => 500)';
