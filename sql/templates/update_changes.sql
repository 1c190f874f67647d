-- Rows whose text, key or condition changed. A changed key is two rows.
                select coalesce(after.key, before.key) as key
                  from (select {key_of_after} as key, {after_is_wanted} as is_wanted,
                               {columns_of_after}
                          from {new_rows} after) after
                  full join (select {key_of_before} as key, {before_is_wanted} as is_wanted,
                                    {columns_of_before}
                               from {old_rows} before) before on before.key = after.key
                 where {unless_gone}case when after.is_wanted and before.is_wanted then {changed}
                            else after.is_wanted or before.is_wanted end
