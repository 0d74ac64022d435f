"""What became of posts to receivers, for Prometheus."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from counterflow.adapters.webhooks.receiver import Receiver


class WebhookMetrics:
    """Reads counters that are kept anyway."""

    def __init__(self, receivers: Callable[[], Sequence[Receiver]]) -> None:
        self._receivers = receivers

    def collect(self) -> Iterator[Metric]:
        """Current values."""
        posts = CounterMetricFamily("counterflow_webhook_posts", "Posts to receivers, by how they ended.", labels=["webhook", "outcome"])
        waiting = GaugeMetricFamily("counterflow_webhook_waiting", "Orders and reports that a receiver has not taken.", labels=["webhook"])
        dropped = CounterMetricFamily("counterflow_webhook_dropped", "Of those, lost since there were too many.", labels=["webhook"])
        for one in self._receivers():
            for outcome, count in sorted(one.outcomes.items()):
                posts.add_metric([one.settings.name, outcome], count)
            waiting.add_metric([one.settings.name], len(one.outbox))
            dropped.add_metric([one.settings.name], one.outbox.dropped)
        yield from (posts, waiting, dropped)
