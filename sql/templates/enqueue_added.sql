-- Jobs of the rows that a statement inserted.
insert into pgpipe.job as job (embedding_id, key)
            select {embedding}, {key_of_added} from {new_rows} added where {added_is_wanted}
