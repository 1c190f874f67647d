-- Functions that only pgpipe calls. What users may call stays in the schema pgpipe.

create schema pgpipe_internal;
comment on schema pgpipe_internal is
    'Functions that pgpipe itself calls. They may change in any release; call those of the schema '
    'pgpipe.';
-- The triggers of targets, and searches, run as the caller and call them.
grant usage on schema pgpipe_internal to public;
