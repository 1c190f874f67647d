-- All staged rows, into a target that needs no key.
insert into {target} ({columns}) overriding system value
select {values}
  from {stage} staged
