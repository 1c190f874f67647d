"""The run: steps over the entities of a date, with a report."""
