"""How it goes with the control systems that come in by IEC 104, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.adapters.iec104.service import Iec104Figures


class Iec104Metrics:
    """Reads counters that are kept anyway."""

    def __init__(self, figures: Callable[[], Iec104Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        figures = self._figures()
        commands = CounterMetricFamily("counterflow_iec104_commands", "Set-points by what became of them.", labels=["program", "outcome"])
        for (program, outcome), count in sorted(figures.commands.items()):
            commands.add_metric([program, outcome], count)
        yield commands
        yield GaugeMetricFamily("counterflow_iec104_masters", "Control systems that are connected.", value=figures.masters)
        late = "Set-points confirmed negatively since their answer took too long."
        yield CounterMetricFamily("counterflow_iec104_late_answers", late, value=figures.late_answers)
        away = "Connections of control systems that are not listed, or too many."
        yield CounterMetricFamily("counterflow_iec104_turned_away", away, value=figures.turned_away)
        malformed = "Connections of control systems that were ended over octets that are no frame."
        yield CounterMetricFamily("counterflow_iec104_malformed", malformed, value=figures.malformed)
