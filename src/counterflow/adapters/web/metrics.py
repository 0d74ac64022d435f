"""The fleet as Prometheus metrics, next to whatever the rest of the process has to tell."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from counterflow.adapters.web.stream import EventStreams
from counterflow.engine.operations import Operations

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Requests = Counter[tuple[str, str]]
"""How many requests came, by method and status."""


class MetricsSource(Protocol):
    """Anything with metrics of its own: a `prometheus_client` collector."""

    def collect(self) -> Iterable[Metric]:
        """Current values."""
        ...


class Metrics:
    """One registry an application, so that several can live in one process."""

    def __init__(self, operations: Operations, source: MetricsSource, streams: EventStreams) -> None:
        self.requests: Requests = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Fleet(operations, streams))
        self._registry.register(_Handed(source))
        self._registry.register(_Requests(self.requests))

    def families(self) -> Iterable[Metric]:
        """All metrics with their current values."""
        return self._registry.collect()

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _Requests(Collector):
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def collect(self) -> Iterable[Metric]:
        counter = CounterMetricFamily("counterflow_http_requests", "Requests to the HTTP API.", labels=["method", "status"])
        for labels, count in sorted(self._requests.items()):
            counter.add_metric(labels, count)
        yield counter


class _Handed(Collector):
    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source.collect()


class _Fleet(Collector):
    """What `FleetView` and `HealthView` tell. A value that is unknown is left out: no sample, not zero."""

    def __init__(self, operations: Operations, streams: EventStreams) -> None:
        self._operations = operations
        self._streams = streams

    def collect(self) -> Iterable[Metric]:
        fleet, health = self._operations.fleet(), self._operations.health()
        reasons = GaugeMetricFamily(
            "counterflow_sessions_by_reason", "Open sessions by why they can or cannot discharge.", labels=["reason"]
        )
        for reason, count in sorted(fleet.reasons.items()):
            reasons.add_metric([reason], count)
        yield reasons
        gauges: dict[str, tuple[str, float | None]] = {
            "stations_known": ("Stations registered or let in.", fleet.stations_known),
            "stations_connected": ("Stations with an open connection.", fleet.stations_connected),
            "sessions": ("Open sessions.", fleet.sessions),
            "sessions_ready": ("Sessions that can be discharged now.", fleet.sessions_ready),
            "sessions_unmeasured": ("Sessions whose power is unknown.", fleet.unmeasured_sessions),
            "measured_power_watts": ("Metered fleet power, discharge positive.", fleet.measured_power_w),
            "available_power_watts": (
                "Discharge power that an order for 15 min could get, expected.",
                fleet.available_power_w,
            ),
            "available_energy_watthours": (
                "Energy that an order for 15 min could get, expected.",
                fleet.available_energy_wh,
            ),
            "target_power_watts": ("Target of the running dispatches, discharge positive.", fleet.target_power_w),
            "headroom_power_watts": ("Discharge power in reserve.", fleet.headroom_power_w),
            "dispatches_running": ("Dispatches under way.", len(fleet.running_dispatches)),
            "profiles_placed": ("Charging profiles of ours at stations.", fleet.profiles_placed),
            "emergency_stop": ("1 while the emergency stop is on.", int(fleet.emergency_stop)),
            "ready": ("1 when the server works, as /readyz tells; an emergency stop does not change it.", int(health.ready)),
            "alarms": ("Alarms that an operator should know.", len(health.alarms)),
            "started_at_seconds": ("When this process began, epoch seconds.", health.started_at_s),
            "event_streams": ("Open event streams.", self._streams.open),
        }
        for name, (words, value) in gauges.items():
            family = GaugeMetricFamily(f"counterflow_{name}", words)
            if value is not None:
                family.add_metric([], value)
            yield family
        for name, words, total in (
            ("profile_messages", "Messages about charging profiles sent: setpoints, fallbacks and clears.", fleet.messages_sent),
            ("drop_outs", "Cars lost to dispatches.", fleet.drop_outs),
        ):
            counter = CounterMetricFamily(f"counterflow_{name}", words)
            counter.add_metric([], total)
            yield counter
