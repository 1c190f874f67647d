"""The web page: search in three modes, loads, queues. It only reads, and has no script."""
