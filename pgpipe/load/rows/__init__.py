"""Rows: Parquet row groups read, checked and converted to binary COPY fields."""
