"""Figures of the running server, for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class ServerMetrics:
    """Counters of one server. `n_running`: requests for scores that are being answered."""

    def __init__(self) -> None:
        disable_created_metrics()  # a moment of creation beside each figure, which nobody asks for
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("earshot_requests", "Requests answered", ["route", "status"], registry=registry)
        self._seconds = Histogram(
            "earshot_request_seconds", "Seconds of requests", ["route"], buckets=SECONDS, registry=registry
        )
        self._running = Gauge("earshot_requests_running", "Requests for scores being answered", registry=registry)
        self._batches = Histogram(
            "earshot_batch_windows", "Windows scored together", buckets=BATCHES, registry=registry
        )
        self._sound = Counter("earshot_sound_seconds", "Seconds of sound scored", registry=registry)
        self._decoders = Gauge("earshot_decoders", "Decoder processes alive", registry=registry)
        self._replaced = Gauge("earshot_decoders_replaced", "Decoder processes replaced so far", registry=registry)
        self._waiting = Gauge("earshot_windows_waiting", "Windows that wait for their scores", registry=registry)
        self.n_running = 0

    def note_request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def note_batch(self, n_windows: int) -> None:
        if n_windows:
            self._batches.observe(n_windows)

    def note_sound(self, seconds: float) -> None:
        self._sound.inc(seconds)

    def text(self, n_decoders: int, n_replaced: int, n_waiting: int) -> bytes:
        """All figures in Prometheus' text format, with the numbers of now."""
        self._running.set(self.n_running)
        self._decoders.set(n_decoders)
        self._replaced.set(n_replaced)
        self._waiting.set(n_waiting)
        return generate_latest(self._registry)
