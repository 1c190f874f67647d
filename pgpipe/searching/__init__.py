"""Search: declaring the search column, and asking."""
