"""What recovery has had to do, for Prometheus; docs/recovery.md says which trouble shows in which figure."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.app.clock import SystemClock
from counterflow.app.control_room import ControlRoom
from counterflow.domain.records import ProfileState


class RecoveryMetrics:
    """Reads counters that are kept anyway. `void_texts` = texts that never left."""

    def __init__(self, room: ControlRoom, clock: SystemClock, void_texts: Callable[[], int]) -> None:
        self._room = room
        self._clock = clock
        self._void_texts = void_texts

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        room = self._room
        yield _counter("lines_replaced", "Lines that were still open when their station came with another.", room.replaced_lines)
        yield _counter("texts_void", "Texts that never left: their line was gone, or their time had passed.", self._void_texts())
        yield _counter("late_answers", "Answers of stations that came after their time-out.", room.csms.counters.late_answers)
        yield _counter("late_events", "Transaction events that stations had kept while they were offline.", room.fleet.late_events)
        yield _counter("repeated_events", "Transaction events that had been taken already.", room.fleet.repeated_events)
        words = "Sessions whose end was never told: the station did not know the transaction any more."
        yield _counter("sessions_found_over", words, room.doubts.found_over)
        states: Counter[str] = Counter({state.value: 0 for state in ProfileState})
        states.update(record.state.value for record in room.ledger)
        profiles = GaugeMetricFamily(
            "counterflow_ledger", "Profiles of ours that may be at stations, by state; clearing = a tombstone.", labels=["state"]
        )
        recovered = GaugeMetricFamily("counterflow_recovered", "What this process knew again when it started.", labels=["what"])
        for family, values in ((profiles, states), (recovered, room.recovered)):
            for key, value in sorted(values.items()):
                family.add_metric([key], value)
            yield family
        yield _gauge("clock_ahead_seconds", "How far our clock is ahead of the machine's, which was set back.", self._clock.off_s)
        yield _counter("clock_steps", "Times that the machine's clock was found set to another time.", self._clock.steps)


def _gauge(name: str, words: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"counterflow_{name}", words)
    family.add_metric([], value)
    return family


def _counter(name: str, words: str, value: float) -> Metric:
    family = CounterMetricFamily(f"counterflow_{name}", words)
    family.add_metric([], value)
    return family
