"""What the process tells Prometheus beside the fleet: gateway, OCPP, journal, raw frames and the control loop."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.adapters.ocpp.transport import GatewayCounters
from counterflow.adapters.storage.frames import FrameRing
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.control_room import ControlRoom
from counterflow.app.observing.recovery_metrics import RecoveryMetrics
from counterflow.app.observing.telemetry_metrics import TelemetryMetrics


class WireMetrics(Protocol):
    """What a grid operator's wire has to tell."""

    def collect(self) -> Iterable[Metric]:
        """Current values."""
        ...


class ProcessMetrics:
    """A `prometheus_client` collector over counters that are kept anyway; nothing is counted twice."""

    def __init__(
        self,
        room: ControlRoom,
        gateway: GatewayCounters,
        journal: SqliteJournal,
        frames: FrameRing,
        recovery: RecoveryMetrics,
        telemetry: TelemetryMetrics,
        wires: Iterable[WireMetrics] = (),
    ) -> None:
        self._wires = tuple(wires)
        self._room = room
        self._gateway = gateway
        self._journal = journal
        self._frames = frames
        self._recovery = recovery
        self._telemetry = telemetry

    def collect(self) -> Iterable[Metric]:
        """Current values."""
        yield from self._of_gateway()
        yield from self._of_ocpp()
        yield from self._of_journal()
        yield from self._recovery.collect()
        yield from self._telemetry.collect()
        for wire in self._wires:
            yield from wire.collect()
        dispatcher = self._room.dispatcher
        yield _gauge("setpoints_waiting", "Setpoints decided and not handed out yet.", dispatcher.carrying.pending)
        yield _gauge("tick_duration_seconds", "Time that the last control tick took.", dispatcher.last_tick_took_s)
        yield _counter("ticks", "Control ticks run.", dispatcher.ticks)
        yield _counter("ticks_late", "Control ticks that began more than half a period late.", dispatcher.rhythm.late)
        yield _counter("ticks_missed", "Control ticks left out because one came a whole period late, or later.", dispatcher.rhythm.missed)
        yield _counter("control_faults", "Faults of ours while controlling cars; the log says where.", dispatcher.faults.count)
        yield _counters("stream_values", "Values of streamed targets.", "outcome", dispatcher.streams.outcomes)
        identifying = dispatcher.identifying
        yield _counter("cars_identified", "Records of events that told delay and ramp of a car.", identifying.identified)
        yield _counter("cars_identified_empty", "Records of events that told nothing of a car.", identifying.empty)
        yield _counter("offer_forecasts", "Forecasts of firm power made to be judged.", dispatcher.forecasting.made)
        yield _counter("offer_forecasts_void", "Of those, not judged: the emergency stop was set meanwhile.", dispatcher.forecasting.void)
        yield _gauge(
            "commitments_binding", "Commitments that hold power now or in a window to come.", len(dispatcher.commitments.binding())
        )
        jain = self._room.fleet.accounts.jain_index()
        if jain is not None:
            yield _gauge(
                "fairness_jain", "How evenly cars gave of what they offered in 30 days (Jain index): 1 = all the same share.", jain
            )
        yield _counters(
            "guarantee_breaches",
            "Sessions that the live monitor stopped, by the guarantee that was broken.",
            "guarantee",
            dispatcher.guarding.breaches,
        )
        yield _counters("station_warnings", "Warnings about stations.", "kind", self._room.warnings)

    def _of_gateway(self) -> Iterator[Metric]:
        gateway = self._gateway
        yield _counter("gateway_accepted", "WebSocket lines ever opened.", gateway.accepted)
        yield _counters("gateway_refused", "Handshakes turned away.", "reason", gateway.refused)
        yield _counters("gateway_messages", "WebSocket messages.", "direction", {"in": gateway.messages_in, "out": gateway.messages_out})
        yield _counters("gateway_bytes", "Payload bytes on the wire.", "direction", {"in": gateway.bytes_in, "out": gateway.bytes_out})
        yield _counter("gateway_throttled", "Times that a line was not read for a while: its station sent too much.", gateway.throttled)
        ended = {
            "too slow": gateway.cut_off,
            "silent": gateway.silent,
            "protocol violation": gateway.violations,
            "our fault": gateway.faults,
        }
        yield _counters("gateway_troubles", "Lines ended, or faults of ours on them.", "kind", ended)

    def _of_ocpp(self) -> Iterator[Metric]:
        ocpp = self._room.csms.counters
        yield _counters("ocpp_requests", "Requests from stations that could be read.", "action", ocpp.requests)
        yield _counters("ocpp_calls", "Requests sent to stations.", "action", ocpp.calls)
        yield _counters("ocpp_outcomes", "How requests to stations ended.", "outcome", ocpp.outcomes)
        yield _counters("ocpp_dropped_values", "Meter values that could not be used.", "reason", ocpp.dropped_values)
        yield _counter("ocpp_answers", "Answers sent to stations.", ocpp.answers)
        yield _counter("ocpp_call_errors", "CALLERRORs sent to stations.", ocpp.call_errors)
        yield _counter("ocpp_salvaged", "Messages that had to be repaired to be read.", ocpp.salvaged)
        yield _counter("ocpp_violations", "Messages that broke the protocol.", ocpp.violations)
        yield _counter("ocpp_handler_failures", "Faults of ours while answering a station.", ocpp.handler_failures)
        yield _gauge("ocpp_discovering", "Stations in discovery now.", ocpp.discovering)
        yield _gauge("ocpp_awaiting_discovery", "Stations that wait for their discovery.", ocpp.awaiting_discovery)

    def _of_journal(self) -> Iterator[Metric]:
        yield _counter("journal_writes", "Writes handed to the journal since the start.", self._journal.position)
        yield _gauge("journal_behind", "Writes that are not durable yet.", self._journal.position - self._journal.durable_position)
        yield _gauge(
            "journal_failed", "1 while the journal cannot write: nothing is acknowledged then.", int(self._journal.failed is not None)
        )
        yield _counter("frames_dropped", "Raw frames that the ring could not keep.", self._frames.dropped)


def _gauge(name: str, words: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"counterflow_{name}", words)
    family.add_metric([], value)
    return family


def _counter(name: str, words: str, value: float) -> Metric:
    family = CounterMetricFamily(f"counterflow_{name}", words)
    family.add_metric([], value)
    return family


def _counters(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"counterflow_{name}", words, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
