"""Other loaders, each as a user would write it: `python -m tests.bench.peers NAME URL TABLE FILES…`."""

import sys
from collections.abc import Callable, Iterator

SLICE = {"psycopg write_row": 200_000, "pandas.to_sql": 20_000}  # rows of the peers that are measured on a part


def duckdb(url: str, table: str, files: list[str]) -> None:
    """DuckDB's postgres extension; it reads Parquet itself and sends over one connection."""
    from importlib.resources import files as package

    import duckdb

    found = sorted(package("duckdb_extension_postgres_scanner").joinpath("extensions").rglob("*.duckdb_extension"))
    with duckdb.connect() as conn:
        conn.execute(f"load '{found[0]}'")
        conn.execute(f"attach '{url}' as pg (type postgres)")
        conn.execute(f"insert into pg.public.{table} select * from read_parquet(?)", [files])


def adbc(url: str, table: str, files: list[str]) -> None:
    """ADBC's bulk ingest of a stream of Arrow batches."""
    import adbc_driver_postgresql.dbapi
    import pyarrow as pa

    batches = _batches(files)
    first = next(batches)

    def all_of_them() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    with adbc_driver_postgresql.dbapi.connect(url) as conn, conn.cursor() as cursor:
        stream = pa.RecordBatchReader.from_batches(first.schema, all_of_them())
        cursor.adbc_ingest(table, stream, mode="append")
        conn.commit()


def pgpq(url: str, table: str, files: list[str]) -> None:
    """The example of pgpq itself: one loop over the batches."""
    import pgpq
    import psycopg

    batches = _batches(files)
    first = next(batches)
    encoder = pgpq.ArrowToPostgresBinaryEncoder(first.schema)
    with psycopg.connect(url) as conn, conn.cursor() as cursor:
        columns = ", ".join(f'"{name}"' for name in first.schema.names)
        with cursor.copy(f"copy {table} ({columns}) from stdin (format binary)") as copy:
            copy.write(encoder.write_header())
            copy.write(encoder.write_batch(first))
            for batch in batches:
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())


def write_row(url: str, table: str, files: list[str]) -> None:
    """`write_row` of psycopg, row by row, over the first rows."""
    import psycopg

    left = SLICE["psycopg write_row"]
    with psycopg.connect(url) as conn, conn.cursor() as cursor:
        batches = _batches(files)
        first = next(batches)
        columns = ", ".join(f'"{name}"' for name in first.schema.names)
        with cursor.copy(f"copy {table} ({columns}) from stdin") as copy:
            while first is not None and left:
                for row in zip(*(column.to_pylist() for column in first.slice(0, left).columns), strict=True):
                    copy.write_row(row)
                left -= min(left, first.num_rows)
                first = next(batches, None)


def to_sql(url: str, table: str, files: list[str]) -> None:
    """pandas, multi-row INSERT, over the first rows."""
    import pyarrow as pa
    import sqlalchemy

    found = _batches(files)
    batches: list[pa.RecordBatch] = []
    while (left := SLICE["pandas.to_sql"] - sum(batch.num_rows for batch in batches)) and (batch := next(found, None)):
        batches.append(batch.slice(0, left))
    rows = pa.Table.from_batches(batches)
    kinds = {f.name: sqlalchemy.Numeric() for f in rows.schema if pa.types.is_decimal(f.type)}
    frame = rows.to_pandas()
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    frame.to_sql(table, engine, if_exists="append", index=False, method="multi", chunksize=100, dtype=kinds)


def _batches(files: list[str], rows: int = 65536) -> Iterator:
    """Arrow batches, without the string views that no peer takes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=rows):
            fields = [f.with_type(pa.string()) if f.type == pa.string_view() else f for f in batch.schema]
            yield batch.cast(pa.schema(fields)) if fields != list(batch.schema) else batch


PEERS: dict[str, Callable[[str, str, list[str]], None]] = {
    "DuckDB": duckdb,
    "ADBC": adbc,
    "pgpq": pgpq,
    "psycopg write_row": write_row,
    "pandas.to_sql": to_sql,
}


if __name__ == "__main__":
    PEERS[sys.argv[1]](sys.argv[2], sys.argv[3], sys.argv[4:])
