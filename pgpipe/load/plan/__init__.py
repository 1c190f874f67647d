"""Planning: files and target are read, then a pure function decides."""
