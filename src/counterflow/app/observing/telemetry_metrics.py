"""What recording telemetry costs, and whether it reaches the disk, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.adapters.storage.telemetry_store import TelemetryStore


class TelemetryMetrics:
    """Reads counters that are kept anyway. `took_s` = how long the last round of records took on the event loop."""

    def __init__(self, store: TelemetryStore, took_s: Callable[[], float]) -> None:
        self._store = store
        self._took_s = took_s

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        store = self._store
        round_took = GaugeMetricFamily("counterflow_telemetry_round_seconds", "Time that the last round of telemetry took.")
        round_took.add_metric([], self._took_s())
        yield round_took
        for name, words, value in (
            ("telemetry_records", "Telemetry records of pools that were written to disk.", store.written),
            ("telemetry_dropped", "Telemetry records that were lost, since the disk did not take them for long.", store.dropped),
            ("telemetry_commit_seconds", "Time that commits of telemetry took, on a thread of their own.", store.commit_s),
        ):
            family = CounterMetricFamily(f"counterflow_{name}", words)
            family.add_metric([], value)
            yield family
