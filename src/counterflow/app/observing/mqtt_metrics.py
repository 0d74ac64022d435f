"""What goes over the MQTT wire, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.adapters.mqtt.wire import MqttFigures


class MqttMetrics:
    """Reads counters that are kept anyway."""

    def __init__(self, figures: Callable[[], MqttFigures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        figures = self._figures()
        for name, words, value in (
            ("mqtt_connected", "1 while the MQTT broker is connected.", int(figures.connected)),
            ("mqtt_waiting", "Telemetry records that the broker has not acknowledged, and that are sent again.", figures.waiting),
        ):
            gauge = GaugeMetricFamily(f"counterflow_{name}", words)
            gauge.add_metric([], value)
            yield gauge
        for name, words, value in (
            ("mqtt_connects", "Times that the MQTT broker was connected.", figures.connects),
            ("mqtt_sent", "Telemetry records that the broker has acknowledged as they happened.", figures.sent),
            ("mqtt_replayed", "Telemetry records that it has acknowledged later.", figures.replayed),
            ("mqtt_lost", "Telemetry records that were not kept long enough to be sent again.", figures.lost),
        ):
            counter = CounterMetricFamily(f"counterflow_{name}", words)
            counter.add_metric([], value)
            yield counter
        heard = CounterMetricFamily("counterflow_mqtt_messages", "Messages of programs, by how they ended.", labels=["outcome"])
        for outcome, count in sorted(figures.heard.items()):
            heard.add_metric([outcome], count)
        yield heard
