"""Parquet drops in S3 to PostgreSQL: loaded once, searchable by keyword and by meaning, kept fresh by triggers."""

from pgpipe.api import search
from pgpipe.pipeline import Pipeline
from pgpipe.search.query import Hit

__all__ = ["Hit", "Pipeline", "search"]
__version__ = "0.1.0"
