"""How it goes with the VTNs, for Prometheus."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.adapters.openadr.wire import VtnLine


class OpenAdrMetrics:
    """Reads counters that are kept anyway."""

    def __init__(self, lines: Mapping[str, VtnLine]) -> None:
        self._lines = lines

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        polls = CounterMetricFamily("counterflow_openadr_polls", "Times that events were read from a VTN.", labels=["vtn", "outcome"])
        asked = CounterMetricFamily("counterflow_openadr_requests", "Requests to a VTN.", labels=["vtn", "outcome"])
        hints = CounterMetricFamily("counterflow_openadr_hints", "Hints at news from a VTN.", labels=["vtn", "way"])
        events = GaugeMetricFamily("counterflow_openadr_events", "Events that a VTN shows us.", labels=["vtn"])
        read = GaugeMetricFamily("counterflow_openadr_read_timestamp_seconds", "When events were last read.", labels=["vtn"])
        clock = GaugeMetricFamily("counterflow_openadr_clock_off_seconds", "How far a VTN's clock is ahead of ours.", labels=["vtn"])
        reports = CounterMetricFamily("counterflow_openadr_reports", "Reports to a VTN, by what became of them.", labels=["vtn", "outcome"])
        waiting = GaugeMetricFamily("counterflow_openadr_reports_waiting", "Reports that are due and not filed yet.", labels=["vtn"])
        for name, line in self._lines.items():
            waiting.add_metric([name], line.reporting.waiting)
            told = ((polls, line.ven.counts), (asked, line.client.counts), (hints, line.ven.hints), (reports, line.reporting.counts))
            for family, counts in told:
                for key, value in sorted(counts.items()):
                    family.add_metric([name, key], value)
            events.add_metric([name], len(line.ven.state.events))
            if line.ven.state.read_at_s is not None:
                read.add_metric([name], line.ven.state.read_at_s)
            if line.client.clock_off_s is not None:
                clock.add_metric([name], line.client.clock_off_s)
        yield from (polls, asked, hints, events, read, clock, reports, waiting)
