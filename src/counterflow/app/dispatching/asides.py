"""Who of a dispatch's pool cannot be used, and why: written down when it changes, so that it can be told afterwards, too.

One line a reason and a tick names all sessions that it is about; most ticks write none.
"""

import numpy as np
from msgspec import Struct

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import ControlPath, DispatchInstruction
from counterflow.domain.reasons import Reason
from counterflow.engine.control.decision import grown
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import I1, I8, FleetImage
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.ports import Journal

_UNSAID = np.int8(-1)


class _Noted(Struct):
    """What the log says of each row, (N,): the session, and its `Reason`."""

    uid: I8
    reason: I1


class Asides:
    """Remembers of each running dispatch what was written down last; after a restart all of it is written again."""

    def __init__(self, journal: Journal, topology: Topology) -> None:
        self._journal = journal
        self._topology = topology
        self._noted: dict[DispatchId, _Noted] = {}

    def note(self, instruction: DispatchInstruction, image: FleetImage, able: Capability, now_s: float) -> None:
        """Write down what has changed since the last look. A session that was ready to discharge from the beginning is not mentioned."""
        noted = self._noted.setdefault(instruction.dispatch_id, _Noted(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int8)))
        rows = len(image)
        same = image.uid == grown(noted.uid, rows, 0)
        # A band that stations follow by curves of their own has no use for charge reduction.
        central = instruction.control_path is ControlPath.CENTRAL
        reason = able.reason_in(instruction.mode) if central else able.reason
        # Of a car that is ready to charge less only, even that is written: it joins no dispatch while it draws nothing.
        unsaid = np.where(reason == able.reason, np.int8(Reason.READY), _UNSAID)
        before = np.where(same, _sized(noted.reason, rows), unsaid)
        concerned = image.occupied & self._topology.pool_mask(instruction.pool)[image.site]
        changed = np.flatnonzero(concerned & (reason != before))
        noted.uid, noted.reason = image.uid, reason
        if changed.size == 0:
            return
        codes = reason[changed]
        for code in np.unique(codes).tolist():
            uids = tuple(image.uid[changed[codes == code]].tolist())
            entry = LogEntry(at_s=now_s, kind=LogKind.ASIDE, text=Reason(code).name.lower(), uids=uids)
            self._journal.log(instruction.dispatch_id, entry)

    def close(self, dispatch_id: DispatchId) -> None:
        """The dispatch is over."""
        self._noted.pop(dispatch_id, None)


def _sized(reason: I1, rows: int) -> I1:
    missing = rows - len(reason)
    return reason if missing == 0 else np.concatenate([reason, np.full(missing, np.int8(Reason.READY))])
