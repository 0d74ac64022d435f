"""The wires of grid operators: each that the settings name is opened beside the server, knows `GridSide` and nothing of the others."""

from collections.abc import Callable, Coroutine
from functools import partial

from counterflow import __version__
from counterflow.adapters.iec104.service import Iec104Service
from counterflow.adapters.mqtt.wire import MqttFigures, MqttWire
from counterflow.adapters.openadr.wire import OpenAdrWire
from counterflow.adapters.webhooks.wire import Webhooks
from counterflow.app.config import Settings
from counterflow.app.observing.iec104_metrics import Iec104Metrics
from counterflow.app.observing.metrics import WireMetrics
from counterflow.app.observing.mqtt_metrics import MqttMetrics
from counterflow.app.observing.openadr_metrics import OpenAdrMetrics
from counterflow.app.observing.webhook_metrics import WebhookMetrics
from counterflow.app.security.secret_files import secret
from counterflow.engine.grid_side import GridSide

Spawn = Callable[[Coroutine[object, object, None]], None]


class Wires:
    """`open()` them when the server serves, `close()` them first when it ends."""

    def __init__(self, settings: Settings, grid: GridSide) -> None:
        self._settings = settings
        self._grid = grid
        self.openadr = OpenAdrWire(settings.openadr, grid)
        self.iec104 = Iec104Service(grid, settings.iec104)
        self.mqtt: MqttWire | None = None
        self.webhooks: Webhooks | None = None

    def metrics(self) -> list[WireMetrics]:
        """What each has to tell Prometheus; nothing of one that is not in use."""
        return [
            MqttMetrics(lambda: self.mqtt.figures() if self.mqtt else MqttFigures()),
            WebhookMetrics(lambda: self.webhooks.receivers if self.webhooks else ()),
            OpenAdrMetrics(self.openadr.lines),
            Iec104Metrics(self.iec104.figures),
        ]

    async def open(self, spawn: Spawn) -> None:
        """Begin with every wire of the settings. Raises `CannotOpenError` where a port cannot be had."""
        settings = self._settings
        spawn(self.openadr.run())
        if settings.mqtt.host:
            password = partial(secret, settings.mqtt.password_file, settings.mqtt.password_variable)
            self.mqtt = MqttWire(self._grid, settings.mqtt, password, __version__)
            spawn(self.mqtt.run())
        if settings.openadr2 is not None:
            from counterflow.adapters.openadr2.ven import Ven  # needs the extra `openadr2`

            spawn(Ven(self._grid, settings.openadr2).run())
        if settings.webhooks:
            self.webhooks = Webhooks(self._grid, settings.webhooks, lambda one: secret(one.secret_file, one.secret_variable), __version__)
            spawn(self.webhooks.run())
        if settings.iec104.stations:
            await self.iec104.open()
            spawn(self.iec104.run())

    async def close(self) -> None:
        """Say goodbye where the wire has a word for it; the tasks of the others are the server's to end."""
        await self.openadr.close()
        await self.iec104.close()
