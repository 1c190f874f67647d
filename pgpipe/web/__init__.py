"""A page to look at: search in three modes, what was loaded, what waits. Reads only, and has no script of its own."""
