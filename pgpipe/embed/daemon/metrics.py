"""`--metrics-port`: what the embedder does, for Prometheus, and whether it makes progress."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from pgpipe.db import Database
from pgpipe.embed.daemon.metrics_server import TEXT, Answer, MetricsServer
from pgpipe.embed.model.base import Model, Vectors, load_model
from pgpipe.embed.totals import Totals
from pgpipe.errors import PgpipeError, UsageError
from pgpipe.metrics import DatabaseMetrics
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.target import Target

SILENCE = 600.0  # seconds without progress after which the embedder is not well
BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Exporter:
    """The embedder's HTTP server: /metrics, /healthz (it gets on), /readyz (models loaded, the database answers)."""

    def __init__(self, database: Database, settings: EmbeddingSettings) -> None:
        self._database = database
        self._address = (settings.metrics_host, settings.metrics_port or 0)
        self._names = settings.metrics_hostnames
        self._ready = False
        self._beat = time.monotonic()
        self.registry = CollectorRegistry()
        self.registry.register(DatabaseMetrics(database))
        self._encode = Histogram(
            "pgpipe_model_seconds",
            "Seconds in one call of the model.",
            ["model"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._texts = Counter("pgpipe_model_texts", "Texts that the model read.", ["model"], registry=self.registry)
        self._batch = Histogram(
            "pgpipe_batch_seconds",
            "Seconds from the claim of a batch to its finish.",
            ["schema", "entity"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._server: MetricsServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://{self._address[0]}:{self._server.port}"

    def watch(self, totals: Totals) -> None:
        """Serve the counts of a worker."""
        self.registry.register(_Counts(totals))

    def timed(self, target: Target, seconds: float) -> None:
        """A batch was finished, so many seconds after its claim."""
        self._batch.labels(*target.pair).observe(seconds)

    def load(self, settings: EmbeddingSettings) -> Model:
        """As load_model, with every call of the model timed."""
        model = load_model(settings)
        encode = model.encode
        seconds, texts_read = self._encode.labels(settings.model), self._texts.labels(settings.model)

        def timed(texts: list[str]) -> Vectors:
            with seconds.time():
                vectors = encode(texts)
            texts_read.inc(len(texts))
            return vectors

        model.encode = timed  # type: ignore[method-assign]
        return model

    def beat(self) -> None:
        """Something got done."""
        self._beat = time.monotonic()

    def ready(self) -> None:
        """The models are loaded."""
        self._ready = True

    def start(self) -> None:
        """Listen, in a thread of its own.

        Raises:
            UsageError: the address is taken, or none of this machine.
        """
        pages = {"/metrics": self._metrics, "/healthz": self._health, "/readyz": self._readiness}
        host, port = self._address
        try:
            self._server = MetricsServer(host, port, pages, self._names)
        except (OSError, OverflowError) as exc:
            raise UsageError(f"metrics cannot be served on {host}:{port}: {exc}") from exc

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.stop()

    def _metrics(self) -> Answer:
        return 200, CONTENT_TYPE_LATEST, generate_latest(self.registry)

    def _health(self) -> Answer:
        silent = time.monotonic() - self._beat
        return (200, TEXT, b"ok\n") if silent < SILENCE else (503, TEXT, f"no progress for {silent:.0f} s\n".encode())

    def _readiness(self) -> Answer:
        if not self._ready:
            return 503, TEXT, b"loading models\n"
        try:
            with self._database.connect() as conn:
                conn.execute("select 1")
        except PgpipeError as exc:
            return 503, TEXT, f"{exc}\n".encode()
        return 200, TEXT, b"ready\n"


class _Counts(Collector):
    """A worker's totals, as they are at the scrape."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[CounterMetricFamily]:
        rows = CounterMetricFamily(
            "pgpipe_embedded_rows", "Rows that got vectors, computed or copied.", labels=["schema", "entity"]
        )
        for target, count in list(self._totals.embedded.items()):
            rows.add_metric(target, count)
        yield rows
        texts = {
            "fresh": "Jobs whose stored vectors were of this text already.",
            "copied": "Jobs that got the vectors of another row with the same text.",
            "stale": "Results dropped, because the job had passed to another worker.",
            "failed": "Jobs given back with an error.",
        }
        for name, text in texts.items():
            yield CounterMetricFamily(f"pgpipe_{name}_jobs", text, value=getattr(self._totals, name))
