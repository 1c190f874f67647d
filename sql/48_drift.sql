-- requires: vector
-- Drift: how far what is stored is from what is declared, and one embedding from another. Applied once pgvector is installed.

create or replace function pgpipe.embedding_drift(target regclass, sample int default 1000)
    returns table (name text, model text, active boolean, rows bigint, missing double precision, other_text double precision,
                   other_model double precision, orphans double precision)
    volatile  set search_path = pg_catalog, pg_temp
    set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1
    language plpgsql
as $$
declare
    e pgpipe.embedding;
    portion double precision;
begin
    for e in select * from pgpipe.embedding x where x.target = embedding_drift.target order by x.active desc, x.embedding_id loop
        perform pgpipe.require_all_rows(e);
        name := e.name;
        model := e.model;
        active := e.active;
        -- Never analysed: all of it. The sample is a half larger, so that chance seldom makes it smaller than asked for.
        select coalesce(least(100, 150.0 * sample / nullif(greatest(c.reltuples, 0), 0)), 100) into portion
          from pg_catalog.pg_class c where c.oid = target;
        execute format($sql$
            select count(*), avg((s.chunk is null)::int), avg((s.content_hash <> i.hash)::int), avg((s.model <> $1)::int)
              from (select %1$s, pgpipe.content_hash(%2$s) as hash from %3$s t tablesample bernoulli (%4$s)) i
              left join %5$s s on %6$s and s.chunk = 0
             where i.hash is not null
            $sql$, pgpipe.numbered_list(e.key_columns, 't'), pgpipe.input_expression(e.columns, e.template, e.condition), target, portion,
            e.store, pgpipe.same_numbered(e.target, e.key_columns, 'i', 's'))
            into rows, missing, other_text, other_model using e.model;
        select coalesce(least(100, 150.0 * sample / nullif(greatest(c.reltuples, 0), 0)), 100) into portion
          from pg_catalog.pg_class c where c.oid = e.store;
        execute format('select avg((not exists (select from %1$s t where %2$s))::int) from %3$s s tablesample bernoulli (%4$s) '
                       'where s.chunk = 0', target, pgpipe.same_key(target, e.key_columns, 't', 's'), e.store, portion) into orphans;
        return next;
    end loop;
end
$$;
comment on function pgpipe.embedding_drift(regclass, int) is
    'Per embedding, over a random sample of about `sample` rows that have a text: the shares without a vector, with the vector of another '
    'text, and with that of another model than declared (of those with one); and the share of sampled vectors whose row is gone.';

create or replace function pgpipe.compare_embeddings(target regclass, one text, other text, sample int default 200, k int default 10,
    out rows bigint, out mean_cosine double precision, out least_cosine double precision,
    out correlation double precision, out shared_neighbours double precision)
    volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    a pgpipe.embedding := pgpipe.require_embedding(target, one);
    b pgpipe.embedding := pgpipe.require_embedding(target, other);
    schema name := pgpipe.vector_schema();
    portion double precision;
begin
    perform pgpipe.require_all_rows(a), pgpipe.require_all_rows(b);
    select coalesce(least(100, 150.0 * sample / nullif(greatest(c.reltuples, 0), 0)), 100) into portion
      from pg_catalog.pg_class c where c.oid = a.store;
    execute format($sql$
        with sampled as materialized (
            select row_number() over () as n, a.vector as va, b.vector as vb
              from (select * from %1$s a tablesample bernoulli (%2$s) where a.chunk = 0 limit $1) a
              join %3$s b on %4$s and b.chunk = 0 and b.content_hash = a.content_hash
        ), pair as materialized (
            select x.n as x, y.n as y, 1 - (x.va operator(%5$I.<=>) y.va) as sa, 1 - (x.vb operator(%5$I.<=>) y.vb) as sb
              from sampled x join sampled y on x.n <> y.n
        ), ranked as (
            select p.x, row_number() over (partition by p.x order by p.sa desc, p.y) as ra,
                   row_number() over (partition by p.x order by p.sb desc, p.y) as rb from pair p
        )
        select (select count(*) from sampled), %6$s,
               (select corr(p.sa, p.sb) from pair p where p.x < p.y and p.sa < 'Infinity' and p.sb < 'Infinity'),
               (select avg((r.rb <= $2)::int) from ranked r where r.ra <= $2)
        $sql$, a.store, portion, b.store, pgpipe.same_key(target, a.key_columns, 'a', 'b'), schema,
        case when a.dims = b.dims
             then format('(select 1 - avg(va operator(%1$I.<=>) vb) from sampled), '
                         '(select 1 - max(va operator(%1$I.<=>) vb) from sampled)', schema)
             else 'null::float8, null::float8' end)
        into rows, mean_cosine, least_cosine, correlation, shared_neighbours using sample, k;
end
$$;
comment on function pgpipe.compare_embeddings(regclass, text, text, int, int) is
    'How far two embeddings of a target are apart, over a random sample of rows that both have: `mean_cosine` and `least_cosine` between '
    'the two vectors of a row (null where the dimensions differ; they mean something only for two variants of one model), `correlation` '
    'of the cosines of all pairs of rows in the one with those in the other, and `shared_neighbours`, the mean share of the k nearest rows '
    'of the sample that both agree on. The last two compare any two models; 1 is the same order. Raises PP008.';
