"""One station's discovery from beginning to end. It knows no clock and no connection: calls out, outcomes and reports in.

Whatever a station answers, or does not, the end is a `CapabilitiesDiscovered` with a reason in words.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec import UNSET, Struct

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp.discovery.capability import Opted, capability, connected_ev, station_facts
from counterflow.adapters.ocpp.discovery.reading import read_all, read_cars, read_evses
from counterflow.adapters.ocpp.discovery.talk import Ask, AwaitReport, GivenUpError, Script, Talk
from counterflow.adapters.ocpp.discovery.variables import CLOCK, INTERVAL
from counterflow.adapters.ocpp.discovery.writing import Write, give_back, set_sampling, set_variables
from counterflow.adapters.ocpp.events import CallOutcome
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.station_settings import ChangedSetting
from counterflow.domain.telemetry import CapabilitiesDiscovered, ConnectedEvReported, SettingsChanging

MAX_EVSES: Final = 64
"""EVSEs beyond this many are not asked for: no station has them, but a broken one may name them."""
MAX_REPORT_PARTS: Final = 2_000
"""A report that does not end by then is taken as it is."""


class Manner(NamedTuple):
    """How a version of OCPP tells what a station can do, and how its settings are set."""

    read_all: Callable[[Talk, Sequence[EvseId]], Script[None]]
    read_evses: Callable[[Talk, Sequence[EvseId]], Script[None]]
    write: Write
    no_setpoints: str = ""
    """Why no EVSE of this version takes a setpoint; "" = its device model tells."""
    tells_needs: bool = True
    """The version has words for what a car is and needs."""


DEVICE_MODEL: Final = Manner(read_all, read_evses, set_variables)
"""OCPP 2.1."""


class Errand(Struct, frozen=True, kw_only=True):
    """What a discovery is for, besides reading: `set_up` = set the sampling; `give_back` = first set these to what they were.

    `look_at` = nothing of all that: only the cars at these EVSEs are asked for.
    """

    set_up: bool = True
    give_back: tuple[ChangedSetting, ...] = ()
    look_at: frozenset[EvseId] = frozenset()


class Discovery:
    """Call `next_call` until it gives None, hand in every outcome; at the end `result` is there.

    `evse_ids` may grow while it runs, and it grows it by what reports name. `report_deadline_s` is set while a report is awaited.
    """

    __slots__ = ("_asking", "_began_s", "_clock_read_s", "_errand", "_evse_ids", "_identity", "_manner", "_opted", "_parts", "_report",
                 "_script", "_subprotocol", "_talk", "report_deadline_s", "result")  # fmt: skip

    def __init__(
        self,
        settings: OcppSettings,
        identity: StationIdentity,
        evse_ids: list[EvseId],
        now_s: float,
        *,
        manner: Manner,
        subprotocol: str,
        errand: Errand,
        lowest_profile_id: int,
        new_request_id: Callable[[], int],
    ) -> None:
        self._talk = Talk(settings, new_request_id)
        self._talk.now_s = self._began_s = now_s
        self._manner = manner
        self._subprotocol = subprotocol
        self._opted = Opted(settings.negative_limit_models, lowest_profile_id, manner.no_setpoints, manner.tells_needs)
        self._identity = identity
        self._evse_ids = evse_ids
        self._errand = errand
        self._clock_read_s: float | None = None
        self._report: int | None = None
        self._parts = 0
        self.report_deadline_s: float | None = None
        self.result: tuple[EvseCapability, ...] | None = None
        self._asking: Ask | None = None
        self._script = self._look() if errand.look_at else self._run()
        self._advance(None)

    # ---- feeding the script

    def next_call(self) -> Ask | None:
        """What to send now; each is handed out once. None while an answer is awaited, and at the end."""
        asking, self._asking = self._asking, None
        return asking

    def changes(self, station_id: StationId, now_s: float) -> list[SettingsChanging]:
        """What the next call is about to change; to be known before it leaves."""
        announced, self._talk.announced = self._talk.announced, []
        return [SettingsChanging(station_id=station_id, at_s=now_s, changes=tuple(announced))] if announced else []

    def answered(self, outcome: CallOutcome, now_s: float) -> None:
        """The call that was handed out has ended like this."""
        self._talk.now_s = now_s
        self._advance(outcome)
        self._note_time(now_s)

    def reported(self, request: ocpp.NotifyReportRequest, now_s: float) -> None:
        """A part of a report has come in, maybe of someone else's."""
        if request.request_id != self._report:
            return
        self._talk.now_s = now_s
        self._talk.model.keep_report(() if request.report_data is UNSET else request.report_data)
        self._parts += 1
        if request.tbc is not True or self._parts >= MAX_REPORT_PARTS:
            self._end_report()
        self._note_time(now_s)

    def on_deadline(self, now_s: float) -> None:
        """Go on without the rest of the report if it is late."""
        if self.report_deadline_s is not None and now_s >= self.report_deadline_s:
            self._talk.now_s = now_s
            self._end_report()
            self._note_time(now_s)

    @property
    def looks_only(self) -> bool:
        """It is about cars; what was learned of the station stays as it is."""
        return bool(self._errand.look_at)

    def cars(self, station_id: StationId, now_s: float) -> list[ConnectedEvReported]:
        """The cars that EVSEs spoke of, once `result` is there."""
        looked_at = self._errand.look_at or {evse.evse_id for evse in self.result or ()}
        seen = ((evse_id, connected_ev(evse_id, self._talk.model, now_s)) for evse_id in sorted(looked_at))
        return [
            ConnectedEvReported(station_id=station_id, evse_id=evse_id, at_s=now_s, car=car) for evse_id, car in seen if car is not None
        ]

    def event(self, station_id: StationId, now_s: float) -> CapabilitiesDiscovered:
        """What came of it, once `result` is there."""
        talk = self._talk
        interval_s = talk.model.number(INTERVAL)
        return CapabilitiesDiscovered(
            station_id=station_id,
            at_s=now_s,
            evses=self.result or (),
            meter_interval_s=interval_s if interval_s is not None and interval_s > 0.0 else None,
            refusals=tuple(talk.remarks),
            facts=station_facts(talk.model, self._evse_ids, self._clock_read_s),
            began_at_s=self._began_s,
            set_up_for=talk.settings.sampling_asked if self._errand.set_up else None,
            refused_settings=tuple(talk.refused),
            given_back=tuple(talk.given_back),
            awaits_reboot=bool(talk.after_reboot),
            subprotocol=self._subprotocol,
        )

    def _end_report(self) -> None:
        self._report = self.report_deadline_s = None
        self._advance(None)

    def _note_time(self, now_s: float) -> None:
        if self._clock_read_s is None and self._talk.model.at(CLOCK) is not None:
            self._clock_read_s = now_s
        if self._report is not None:
            self.report_deadline_s = now_s + self._talk.settings.call_timeout_s

    def _advance(self, value: CallOutcome | None) -> None:
        try:
            step = self._script.send(value)
        except StopIteration:
            return
        match step:
            case Ask():
                self._asking = step
            case AwaitReport():
                self._report, self._parts = step.request_id, 0

    # ---- the script

    def _run(self) -> Script[None]:
        covered, manner = len(self._evse_ids), self._manner
        try:
            yield from give_back(self._talk, manner.write, self._errand.give_back)
            yield from manner.read_all(self._talk, self._evse_ids[:covered])
            self._take_in_reported()
            while covered < len(self._evse_ids):
                more = self._evse_ids[covered:]
                covered += len(more)
                yield from manner.read_evses(self._talk, more)
            if self._errand.set_up:
                yield from set_sampling(self._talk, manner.write, self._evse_ids[:covered])
        except GivenUpError as reason:
            self.result = tuple(
                EvseCapability(evse_id=evse_id, control_mode=ControlMode.NONE, reason=str(reason)) for evse_id in self._evse_ids
            )
            self._talk.remarks.append(f"{str(reason)[0].upper()}{str(reason)[1:]}.")
            return
        self.result = tuple(self._capability(place, evse_id) for place, evse_id in enumerate(self._evse_ids[:covered]))

    def _look(self) -> Script[None]:
        with suppress(GivenUpError):  # it has answered before; if it is mute now, nothing is known of its cars
            yield from read_cars(self._talk, sorted(self._errand.look_at))
        self.result = ()

    def _capability(self, place: int, evse_id: EvseId) -> EvseCapability:
        return capability(evse_id, place, self._talk.model, self._identity, self._opted, self._talk.now_s)

    def _take_in_reported(self) -> None:
        for evse_id in sorted(self._talk.model.evse_ids - set(self._evse_ids)):
            if len(self._evse_ids) < MAX_EVSES:
                self._evse_ids.append(evse_id)
