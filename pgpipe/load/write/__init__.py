"""Writing: COPY, and how staged rows reach a target."""
