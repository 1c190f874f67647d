-- Impacts: how strong the words of a row are, so that rows of common words are read best first.

alter table pgpipe.lexeme add column steps real[];
comment on column pgpipe.lexeme.steps is
    'In how many documents the lexeme has an impact of step 1, 2, ... at least; an estimate. Null '
    'if few documents hold it.';
