-- Jobs of a distributed target, which has no triggers: a load enqueues what it changes, from its
-- own list of differences. The jobs are hidden until its rows are there.

create or replace function pgpipe_internal.hidden_until()
    returns text  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- The same for the whole transaction; reveal_jobs finds its jobs by it. No setting changes how
    -- JSON writes it.
    select set_config('pgpipe.hidden_until', to_jsonb(now() + interval '1 minute') #>> '{}', false)
$$;
comment on function pgpipe_internal.hidden_until() is
    'Until when the jobs of this transaction are hidden, if nothing reveals them before. It is '
    'noted in a setting of the session.';

create or replace function pgpipe_internal.differing_inputs(e pgpipe.embedding, columns name[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    -- What the target computes itself may have changed with anything.
    select case
           when exists (select from pg_catalog.pg_attribute item
                         where item.attrelid = e.target and item.attgenerated <> ''
                           and item.attname in (select pgpipe_internal.dependencies(e)))
           then 'true'
           else coalesce((
                select pgpipe_internal.differ(e.target, array_agg(known order by known), 'target',
                                              'staged')
                  from pgpipe_internal.dependencies(e) known where known = any (columns)
                having count(*) > 0), 'false') end
$$;
comment on function pgpipe_internal.differing_inputs(pgpipe.embedding, name[]) is
    'SQL text: the rows `target` and `staged` differ in something that an embedding is made of.';

create or replace function pgpipe_internal.hidden_job_parts(e pgpipe.embedding, key text)
    returns jsonb  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    select jsonb_build_object(
        'embedding', e.embedding_id, 'key', key,
        'hidden_until', quote_literal(pgpipe_internal.hidden_until()) || '::timestamptz',
        'again', rtrim(pgpipe_internal.render('enqueue_again', '{}'), E'\n'))
$$;
comment on function pgpipe_internal.hidden_job_parts(pgpipe.embedding, text) is
    'The parts that all templates of hidden jobs have. `key` is SQL text.';

create or replace function pgpipe_internal.difference_key(e pgpipe.embedding, key name[])
    returns text  stable  set search_path = pg_catalog, pg_temp  language sql
as $$
    select format('pg_catalog.jsonb_build_object(%s)', string_agg(
               format('%L, %s', part.name, pgpipe_internal.pinned(
                   pgpipe_internal.column_type_of(e.target, part.name),
                   format('difference.key_%s', array_position(key, part.name)))),
               ', ' order by part.place))
      from unnest(e.key_columns) with ordinality part (name, place)
$$;
comment on function pgpipe_internal.difference_key(pgpipe.embedding, name[]) is
    'SQL text: the key that a job has, of a row of a difference by the columns `key`.';

create or replace function pgpipe_internal.enqueue_difference(
    target regclass, stage regclass, columns name[], key name[])
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    difference text := pgpipe_internal.difference_name(stage);
    e pgpipe.embedding;
    parts jsonb;
begin
    for e in select * from pgpipe.embedding known
              where known.target = enqueue_difference.target
                and pgpipe_internal.is_distributed(known.target) loop
        if not e.key_columns <@ key then  -- of which the difference does not know all
            perform pgpipe_internal.note_missed(e.embedding_id, '00000');
            continue;
        end if;
        parts := pgpipe_internal.hidden_job_parts(e, pgpipe_internal.difference_key(e, key))
                 || jsonb_build_object('difference', difference);
        execute pgpipe_internal.render('merge_enqueue', parts);
        execute pgpipe_internal.render('merge_enqueue_changed', parts || jsonb_build_object(
            'stage', stage, 'target', target,
            'staged_key', pgpipe_internal.same_numbered(target, key, 'difference', 'staged'),
            'same_key', pgpipe_internal.same_key(target, key, 'target', 'staged'),
            'changed', pgpipe_internal.differing_inputs(e, columns)));
    end loop;
end
$$;
comment on function pgpipe_internal.enqueue_difference(regclass, regclass, name[], name[]) is
    'Enqueues the rows of a difference for each embedding of a distributed target, before one of '
    'them is written. For any other target it does nothing: there triggers do.';

create or replace function pgpipe_internal.enqueue_staged(target regclass, stage regclass)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language plpgsql
as $$
declare
    e pgpipe.embedding;
begin
    for e in select * from pgpipe.embedding known
              where known.target = enqueue_staged.target
                and pgpipe_internal.is_distributed(known.target) loop
        execute pgpipe_internal.render('merge_enqueue_staged', pgpipe_internal.hidden_job_parts(
            e, pgpipe_internal.key_json(target, e.key_columns, 'staged'))
            || jsonb_build_object('stage', stage));
    end loop;
end
$$;
comment on function pgpipe_internal.enqueue_staged(regclass, regclass) is
    'Enqueues all staged rows for each embedding of a distributed target.';

create or replace function pgpipe_internal.reveal_jobs(target regclass)
    returns void  volatile  set search_path = pg_catalog, pg_temp  language sql
as $$
    update pgpipe.job job set visible_at = now()
      from pgpipe.embedding e
     where e.target = reveal_jobs.target and job.embedding_id = e.embedding_id
       and job.visible_at = nullif(current_setting('pgpipe.hidden_until', true), '')::timestamptz
       and job.lease_token is null
$$;
comment on function pgpipe_internal.reveal_jobs(regclass) is
    'Lets workers claim the jobs that the last transaction of this session hid. Call it after that '
    'is committed.';
