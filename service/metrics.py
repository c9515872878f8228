"""Prometheus metrics (GET /metrics)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        route = ("route", "method")
        self.requests = Counter(
            "seedpoint_requests",
            "Requests by route template, method and status (0: the client left first).",
            (*route, "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "seedpoint_request_duration_seconds",
            "Seconds from the request to the last byte of its body.",
            route,
            buckets=_BUCKETS,
            registry=registry,
        )
        self.sent = Counter(
            "seedpoint_response_body_bytes", "Bytes of bodies sent.", route, registry=registry
        )
        self.plans = Counter(
            "seedpoint_plans", "Specs by outcome of planning.", ("outcome",), registry=registry
        )
        self.plan_seconds = Histogram(
            "seedpoint_plan_duration_seconds",
            "Seconds from a spec to its plan, including the wait for a worker.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.elements = Counter(
            "seedpoint_generated_elements", "Elements of tensors generated.", registry=registry
        )
        pool = ("pool",)
        self.workers = Gauge(
            "seedpoint_workers_warm",
            "Worker processes that are ready, by pool (for small and for large specs).",
            pool,
            registry=registry,
        )
        self.specs_waiting = Gauge(
            "seedpoint_specs_waiting",
            "Specs being planned or waiting, by pool.",
            pool,
            registry=registry,
        )
        self.wholes = Counter(
            "seedpoint_wholes",
            "Whole tensors (orthogonal, sparse) computed by workers, by kind.",
            ("kind",),
            registry=registry,
        )
        self.wholes_waiting = Gauge(
            "seedpoint_wholes_waiting",
            "Whole tensors being computed or waiting.",
            registry=registry,
        )
        self.statistics_running = Gauge(
            "seedpoint_statistics_running", "Statistics being computed.", registry=registry
        )

    def observe(self, route: str, method: str, status: int, seconds: float, sent: int) -> None:
        """Count one request: its duration, and its body of `sent` bytes."""
        method = method if method in _METHODS else "(other)"
        self.requests.labels(route, method, status).inc()
        self.seconds.labels(route, method).observe(seconds)
        self.sent.labels(route, method).inc(sent)
