"""Metrics of a server, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: Type of the text, for the header Content-Type.
CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PATCHES = (1, 2, 4, 8, 16, 32)


class ServerMetrics:
    """Counts and times of one server, in a registry of its own.

    Parameters
    ----------
    active : callable
        Returns the number of requests that are being answered.

    Examples
    --------
    >>> metrics = ServerMetrics(lambda: 3)
    >>> metrics.request("/predict", 200, 0.1)
    >>> text = metrics.text().decode()
    >>> 'her2_requests_total{code="200",path="/predict"} 1.0' in text, "her2_requests_active 3.0" in text
    (True, True)
    """

    def __init__(self, active: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("her2_requests", "Requests.", ["path", "code"], registry=self._registry)
        self._seconds = Histogram(
            "her2_request_seconds", "Time to the answer.", ["path"], buckets=_SECONDS, registry=self._registry
        )
        self._batch = Histogram(
            "her2_batch_patches", "Patches a pass through the network.", buckets=_PATCHES, registry=self._registry
        )
        gauge = Gauge("her2_requests_active", "Requests that are being answered.", registry=self._registry)
        gauge.set_function(active)

    def request(self, path: str, code: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(path=path, code=str(code)).inc()
        self._seconds.labels(path=path).observe(seconds)

    def batch(self, patches: int) -> None:
        """Count a pass through the network."""
        self._batch.observe(patches)

    def text(self) -> bytes:
        """All metrics as text."""
        return generate_latest(self._registry)
