"""The soak: everything at once, at random, and in the end every invariant is checked. `make soak` runs it."""
