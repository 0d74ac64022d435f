"""The wire: keeps a line to the broker for as long as the server runs, and everything that goes over it."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from random import uniform

import aiomqtt
import structlog
from msgspec import Struct

from counterflow.adapters.mqtt.connection import Line, why
from counterflow.adapters.mqtt.inbox import Inbox
from counterflow.adapters.mqtt.offers_out import OffersOut
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.state_out import StateOut
from counterflow.adapters.mqtt.telemetry_out import TelemetryOut
from counterflow.adapters.mqtt.together import together
from counterflow.adapters.mqtt.topics import STATUS
from counterflow.domain.grid import Wire
from counterflow.domain.program_translation import Terms, instant
from counterflow.domain.program_words import StatusWords
from counterflow.engine.grid_side import GridSide

_GOODBYE_S = 2.0
_BROKER = "broker"

log = structlog.get_logger("counterflow")


class MqttFigures(Struct, frozen=True, kw_only=True):
    """Counts since the start. `waiting`: telemetry records to be sent again; `lost`: not kept long enough for that."""

    connected: bool = False
    connects: int = 0
    heard: Mapping[str, int] = {}
    """Messages, by how they ended."""
    sent: int = 0
    replayed: int = 0
    waiting: int = 0
    lost: int = 0


class MqttWire:
    """`run()` for ever; a line that is lost is an alarm, and is opened again after a pause that doubles."""

    def __init__(self, grid: GridSide, settings: MqttSettings, password: Callable[[], str | None], version: str) -> None:
        """`password` is asked at each attempt, so that one that was changed in its file is taken."""
        programs = list(grid.programs(Wire.MQTT))
        self.connected = False
        self.connects = 0
        self.inbox = Inbox(grid, programs, settings)
        self._grid = grid
        self._settings = settings
        self._password = password
        self._version = version
        terms = [Terms(program) for program in programs]
        self._states = StateOut(grid, terms, settings)
        self._offers = [OffersOut(grid, one, settings) for one in terms] if settings.offer_windows_min else []
        self.telemetry: Sequence[TelemetryOut] = [TelemetryOut(grid, one, settings) for one in terms]

    def figures(self) -> MqttFigures:
        """What was done so far."""
        backlogs = [one.backlog for one in self.telemetry]
        return MqttFigures(
            connected=self.connected,
            connects=self.connects,
            heard=self.inbox.outcomes,
            sent=sum(one.sent for one in self.telemetry),
            replayed=sum(one.replayed for one in self.telemetry),
            waiting=sum(backlog.waiting for backlog in backlogs),
            lost=sum(backlog.lost for backlog in backlogs),
        )

    async def run(self) -> None:
        """Until it is cancelled."""
        pause_s = self._settings.retry_min_s
        while True:
            before = self.connects
            try:
                await together([self._one_line()], patience_s=2.0 * _GOODBYE_S)
            except (aiomqtt.MqttError, OSError, ssl.SSLError, ValueError) as error:
                self._complain(error)
            except Exception as error:  # noqa: BLE001  # whatever it was, the next line may do better
                log.error("mqtt failed", error=repr(error))
                self._complain(error)
            if self.connects > before:
                pause_s = self._settings.retry_min_s
            await asyncio.sleep(pause_s * uniform(0.5, 1.0))
            pause_s = min(2.0 * pause_s, self._settings.retry_max_s)

    async def _one_line(self) -> None:
        async with Line(self._settings, self._password(), self._version) as line:
            try:
                await self.inbox.subscribe(line)
                await self._say_status(line, online=True)
                self.connects += 1
                self.connected = True
                self._grid.alarm(Wire.MQTT, _BROKER, None)
                telemetry = [one.run(line) for one in self.telemetry]
                offers = [one.run(line) for one in self._offers]
                await together([self.inbox.listen(line), self._states.run(line), *telemetry, *offers], patience_s=_GOODBYE_S / 2.0)
            except asyncio.CancelledError:
                # A goodbye that fails must not keep us here: the broker says it with the last will.
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_GOODBYE_S):
                        await self._say_status(line, online=False)
                raise
            except Exception as error:
                if line.trouble:
                    raise aiomqtt.MqttError(line.trouble) from error
                raise
            finally:
                self.connected = False

    async def _say_status(self, line: Line, *, online: bool) -> None:
        words = StatusWords(online=online, at=instant(self._grid.now_s()), version=self._version)
        await line.say(f"{self._settings.prefix}/{STATUS}", words, retain=True)

    def _complain(self, error: Exception) -> None:
        where = f"{self._settings.host}:{self._settings.port}"
        sentence = f"The MQTT broker {where} is lost: {why(error)}. Telemetry is kept, and sent when it is back."
        self._grid.alarm(Wire.MQTT, _BROKER, sentence)
