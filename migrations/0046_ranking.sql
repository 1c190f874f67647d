-- What ranking is set to, by target: found by `pgpipe evaluate --tune`, or declared.

alter table pgpipe.search
    add column k1 double precision not null default 1.2 check (k1 > 0 and k1 <= 100),
    add column b double precision not null default 0.75 check (b between 0 and 1),
    -- An occurrence in a column of weight D, C, B, A. Scores count it for the lightest column, and
    -- add what each heavier one has more.
    add column occurrences double precision[] not null default '{0.5,0.75,1,1.5}'
        check (cardinality(occurrences) = 4 and array_position(occurrences, null) is null
               and 0 < occurrences[1] and occurrences[1] <= occurrences[2]
               and occurrences[2] <= occurrences[3] and occurrences[3] <= occurrences[4]
               and occurrences[4] <= 1000),
    add column text_weight double precision not null default 1
        check (text_weight between 0 and 1e6),
    add column vector_weight double precision not null default 1
        check (vector_weight between 0 and 1e6);
comment on column pgpipe.search.k1 is
    'How fast further occurrences of a word count less; k1 of BM25F.';
comment on column pgpipe.search.b is
    'How much a long row loses, from 0 to 1; b of BM25F.';
comment on column pgpipe.search.occurrences is
    'What an occurrence counts in a column of weight D, C, B and A.';
comment on column pgpipe.search.text_weight is
    'The weight of words in a hybrid search that names none.';
comment on column pgpipe.search.vector_weight is
    'The weight of meaning in a hybrid search that names none.';
