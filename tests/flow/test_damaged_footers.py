"""Files whose footers lie, or that are encrypted: named in one line, and nothing is deleted for them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import fails, load, rows

ROWS = [{"id": n, "text": f"row {n}"} for n in range(3)]
SNAPSHOT = ("--key", "id", "--mode", "snapshot")


def test_a_snapshot_of_rows_that_are_only_announced(cli: Cli, lake: Lake, database: Database) -> None:
    """L3: a footer with `num_rows = 3` and no row group is damage, by name; every row of the target stays."""
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url, *SNAPSHOT)
    file = lake.put("2026-01-02", "product", ROWS)
    pq.ParquetWriter(file, pa.Table.from_pylist(ROWS).schema).close()
    announced = file.read_bytes().replace(b"\x16\x00\x19", b"\x16\x06\x19")  # num_rows, before the list of row groups
    file.write_bytes(announced)
    assert (pq.read_metadata(file).num_rows, pq.read_metadata(file).num_row_groups) == (3, 0)

    result = cli("load", "--source", lake.url, "--json", "--skip-embeddings", *SNAPSHOT)

    fails(result, 1, f"product: {lake.url}/2026-01-02/product/part-0.parquet is damaged: its footer says 3 rows")
    assert rows(database, "select count(*) from product") == [(3,)]


class NoKms(encryption.KmsClient):
    """Keys that are wrapped by nothing."""

    def __init__(self, _config: object) -> None:
        encryption.KmsClient.__init__(self)

    def wrap_key(self, key_bytes: bytes, _name: str) -> bytes:
        return key_bytes.hex().encode()

    def unwrap_key(self, wrapped_key: bytes, _name: str) -> bytes:
        return bytes.fromhex(wrapped_key.decode())


def encrypted(file: Path, *, plaintext_footer: bool) -> None:
    """Write a file as Parquet's modular encryption does."""
    config = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plaintext_footer
    )
    table = pa.Table.from_pylist(ROWS)
    made = encryption.CryptoFactory(NoKms).file_encryption_properties(encryption.KmsConnectionConfig(), config)
    with pq.ParquetWriter(file, table.schema, encryption_properties=made) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("plaintext_footer", "said"), [(False, "is an encrypted Parquet file"), (True, "has encrypted columns")]
)
def test_encrypted_files(cli: Cli, lake: Lake, plaintext_footer: bool, said: str) -> None:
    """L19: whether its footer is encrypted or only columns are, the message says so; other entities are loaded."""
    lake.put("2026-01-01", "other", ROWS)
    encrypted(lake.put("2026-01-01", "product", ROWS), plaintext_footer=plaintext_footer)

    result = cli("load", "--source", lake.url, "--json", "--skip-embeddings", "--key", "id")

    fails(result, 1, "product/part-0.parquet", said, "which pgpipe cannot read; write it unencrypted")
    assert '"other"' in result.out
