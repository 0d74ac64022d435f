"""A negative charging limit is no word of OCPP: whether a model discharges on it is for its meter to show, at each use of it.

Some stations take such a limit for "no limit" and charge at full power; one that does is held out until a person releases it.
"""

from collections.abc import Iterable
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


class Trial(Struct, frozen=True):
    """One order whose effect has not been seen yet. `power_w` < 0; judged by readings from `from_s` until `until_s`."""

    station_id: StationId
    evse_id: EvseId
    transaction_id: TransactionId
    power_w: float
    from_s: float
    until_s: float


class FirstUse:
    """Orders by negative limit whose discharge has not been seen. Nothing here for stations that take setpoints."""

    def __init__(self, proof_s: float) -> None:
        """`proof_s`: how long after its start an order may take to show, s."""
        self._proof_s = proof_s
        self.trials: dict[SessionUid, Trial] = {}
        """Those that are on; asked after every reading, so it is a plain attribute: nearly always there are none."""

    def sent(self, command: Command) -> None:
        """A message that changes what the car is told has left: what was on trial is over."""
        if isinstance(command, PlaceDischarge | ClearProfile):
            self.trials.pop(command.session_uid, None)

    def placed(self, order: PlaceDischarge, result: CommandResult, now_s: float) -> None:
        """An order has ended so."""
        if order.control_mode is ControlMode.NEGATIVE_LIMIT and isinstance(result, Accepted) and order.power_w <= -LEAST_W:
            from_s = max(order.start_s, now_s) + self._proof_s
            self.trials[order.session_uid] = Trial(
                order.station_id, order.evse_id, order.transaction_id, order.power_w, from_s, order.discharge_until_s
            )

    def ended(self, uid: SessionUid) -> None:
        """The session is over."""
        self.trials.pop(uid, None)

    def measured(self, event: TransactionReported | EvseMeasured) -> str | None:
        """Why the station is to be held out, in words; None = nothing speaks against it."""
        for uid, trial in tuple(self.trials.items()):
            said = _judge(trial, event.measurements) if _is_of(trial, event) else None
            if said is not None:
                del self.trials[uid]
                if said:
                    return said
        return None


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
        if reading.at_s >= trial.from_s and reading.power_w > NOT_SHOWN * trial.power_w:
            seen = f"{abs(reading.power_w):.0f} W of {'charging' if reading.power_w > 0.0 else 'discharge'}"
            return f"EVSE {trial.evse_id} was told to discharge {-trial.power_w:.0f} W by a negative limit, and its meter shows {seen}"
    return None
