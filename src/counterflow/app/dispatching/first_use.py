"""A negative charging limit is no word of OCPP: whether a model discharges on it is for its meter to show, at each use of it.

Some stations take such a limit for "no limit" and charge at full power; one that does is held out until a person releases it. So is
one whose order was given up before the time was over, when its meter had contradicted it more than once by then.
"""

from collections.abc import Iterable
from math import isnan
from typing import Final

from msgspec import Struct

from counterflow.domain.commands import ClearProfile, Command, PlaceDischarge
from counterflow.domain.ids import EvseId, SessionUid, StationId, TransactionId
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import Accepted, CommandResult
from counterflow.domain.telemetry import EvseMeasured, Measurement, TransactionReported

LEAST_W: Final = 500.0
"""An order weaker than this is not told from noise."""
SHOWN: Final = 0.5
"""Share of the order that proves it."""
NOT_SHOWN: Final = 0.1
"""Share of the order below which, once the time is over, it is disproved."""


GRACE_S: Final = 30.0
"""So long after its start even a slow car has begun to follow."""
CONTRARY: Final = 2
"""So many readings after that which show nothing of it disprove an order that is given up."""


class Trial(Struct):
    """One order whose effect has not been seen yet. `power_w` < 0; judged by readings from `from_s` until `until_s`.

    `contrary` = readings from `slow_s` on that show nothing of it, `seen_w` the last of them.
    """

    station_id: StationId
    evse_id: EvseId
    transaction_id: TransactionId
    power_w: float
    from_s: float
    until_s: float
    slow_s: float
    contrary: int = 0
    seen_w: float = 0.0
    is_lost: bool = False
    """Its order was given up with the meter against it."""


class FirstUse:
    """Orders by negative limit whose discharge has not been seen. Nothing here for stations that take setpoints."""

    def __init__(self, proof_s: float) -> None:
        """`proof_s`: how long after its start an order may take to show, s."""
        self._proof_s = proof_s
        self.trials: dict[SessionUid, Trial] = {}
        """Those that are on; asked after every reading, so it is a plain attribute: nearly always there are none."""

    def sent(self, command: Command) -> None:
        """A message that takes the discharge back has left: what was on trial is over, and lost if the meter spoke against it. Another
        discharge goes on with the trial: a target that moves is no excuse."""
        if isinstance(command, ClearProfile) or (isinstance(command, PlaceDischarge) and not _tries(command)):
            self.ended(command.session_uid)

    def placed(self, order: PlaceDischarge, result: CommandResult, now_s: float) -> None:
        """An order has ended so."""
        if not (_tries(order) and isinstance(result, Accepted)):
            return
        trial = self.trials.get(order.session_uid)
        if trial is not None:
            trial.power_w, trial.until_s = max(trial.power_w, order.power_w), max(trial.until_s, order.discharge_until_s)
            return
        starts_s = max(order.start_s, now_s)
        self.trials[order.session_uid] = Trial(
            order.station_id,
            order.evse_id,
            order.transaction_id,
            order.power_w,
            starts_s + self._proof_s,
            order.discharge_until_s,
            starts_s + min(GRACE_S, self._proof_s),
        )

    def ended(self, uid: SessionUid) -> None:
        """The discharge, or the whole session, is over; one that is lost waits for the station's next reading to be told."""
        trial = self.trials.get(uid)
        if trial is not None and trial.contrary >= CONTRARY:
            trial.is_lost = True
        else:
            self.trials.pop(uid, None)

    def measured(self, event: TransactionReported | EvseMeasured) -> str | None:
        """Why the station is to be held out, in words; None = nothing speaks against it."""
        for uid, trial in tuple(self.trials.items()):
            if trial.is_lost and trial.station_id == event.station_id:
                said: str | None = _sentence(trial, trial.seen_w)
            else:
                said = _judge(trial, event.measurements) if _is_of(trial, event) else None
            if said is not None:
                del self.trials[uid]
                if said:
                    return said
        return None


def _tries(order: PlaceDischarge) -> bool:
    """Whether an order is a discharge by negative limit that a meter can show."""
    return order.control_mode is ControlMode.NEGATIVE_LIMIT and order.power_w <= -LEAST_W


def _is_of(trial: Trial, event: TransactionReported | EvseMeasured) -> bool:
    if trial.station_id != event.station_id:
        return False
    if isinstance(event, TransactionReported):
        return not event.offline and trial.transaction_id == event.transaction_id
    return trial.evse_id == event.evse_id


def _judge(trial: Trial, readings: Iterable[Measurement]) -> str | None:
    """The sentence when it is disproved, an empty one when it is proved or over, None while it is open."""
    for reading in readings:
        if reading.at_s >= trial.until_s or reading.power_w <= SHOWN * trial.power_w:
            return ""
        shows_nothing = not isnan(reading.power_w) and reading.power_w > NOT_SHOWN * trial.power_w
        if shows_nothing and reading.at_s >= trial.from_s:
            return _sentence(trial, reading.power_w)
        if shows_nothing and reading.at_s >= trial.slow_s:
            trial.contrary += 1
            trial.seen_w = reading.power_w
    return None


def _sentence(trial: Trial, power_w: float) -> str:
    seen = f"{abs(power_w):.0f} W of {'charging' if power_w > 0.0 else 'discharge'}"
    return f"EVSE {trial.evse_id} was told to discharge {-trial.power_w:.0f} W by a negative limit, and its meter shows {seen}"
