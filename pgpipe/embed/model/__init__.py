"""Models: what a backend is, the backends, the files of a model and its identity."""
