"""Loading: Parquet to COPY to staging to target, exactly once."""
