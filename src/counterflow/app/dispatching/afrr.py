"""aFRR signals: one integer for every station of a dispatch, sent when it changes or when a station may not know it."""

from typing import NamedTuple

from counterflow.app.dispatching.control_paths import ControlPaths
from counterflow.domain.commands import SendSignal
from counterflow.domain.ids import StationId
from counterflow.domain.instructions import ControlPath, DispatchInstruction
from counterflow.domain.records import ProfileState
from counterflow.domain.setpoints import Accepted, CommandResult, NotSupported, Rejected
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.control.refusals import words_of
from counterflow.engine.ports import StationLink


class _Told(NamedTuple):
    signal: int
    at_s: float


class AfrrSignals:
    """What each station was told last; a station that refuses signals gets setpoints from then on."""

    def __init__(self, ledger: ProfileLedger, link: StationLink, paths: ControlPaths) -> None:
        self._ledger = ledger
        self._link = link
        self._paths = paths
        self._told: dict[StationId, _Told] = {}

    def tell(self, instruction: DispatchInstruction, signal: int, now_s: float) -> int:
        """Send the signal to the stations of a dispatch that may not have it. Returns how many."""
        placed_s: dict[StationId, float] = {}
        for record in self._ledger:
            if record.dispatch_id == instruction.dispatch_id and record.path == ControlPath.AFRR and record.state is ProfileState.PLACED:
                placed_s[record.station_id] = max(record.placed_at_s, placed_s.get(record.station_id, 0.0))
        sent = 0
        for station_id, since_s in placed_s.items():
            told = self._told.get(station_id)
            if told is None or told.signal != signal or told.at_s < since_s:
                self._told[station_id] = _Told(signal, now_s)
                self._link.submit(SendSignal(station_id=station_id, signal=signal, at_s=now_s), now_s)
                sent += 1
        return sent

    def completed(self, command: SendSignal, result: CommandResult, now_s: float) -> None:
        """A station that did not take it is told again, or not asked any more."""
        if isinstance(result, Accepted):
            return
        if isinstance(result, Rejected | NotSupported):
            reason = f"AFRRSignal was refused: {words_of(result)}"
            evses = {record.evse_id for record in self._ledger.of_station(command.station_id) if record.path == ControlPath.AFRR}
            for evse_id in sorted(evses):
                self._paths.close(command.station_id, evse_id, ControlPath.AFRR, reason, now_s)
        told = self._told.get(command.station_id)
        if told is not None and told.signal == command.signal:
            del self._told[command.station_id]

    def forget(self, station_id: StationId) -> None:
        """A station that was away or has booted may not know its signal."""
        self._told.pop(station_id, None)
