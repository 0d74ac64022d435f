"""Who cannot be used is written down once, and again when it changes."""

from typing import Any

import numpy as np
from msgspec.structs import replace

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.dispatching.asides import Asides
from counterflow.domain.ids import ALL_SITES, DispatchId, PoolId, SiteId
from counterflow.domain.instructions import AllocationPolicy, ControlPath, DispatchInstruction, DispatchMode, TargetStep
from counterflow.domain.reasons import Reason
from counterflow.domain.resources import Site
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import empty_columns, freeze
from counterflow.engine.fleet.topology import Topology

D = DispatchId("d-1")
TOPOLOGY = Topology([Site(site_id=SiteId("a"), pools=(PoolId("north"),)), Site(site_id=SiteId("b"))])


class Able:
    """The two columns of a capability that count here."""

    def __init__(self, *reasons: Reason, pausing: tuple[Reason, ...] = ()) -> None:
        self.reason = np.array(reasons, dtype=np.int8)
        self.reduction = np.array(pausing or (Reason.NO_PAUSE_CONSENT,) * len(reasons), dtype=np.int8)

    def reason_in(self, mode: DispatchMode) -> Any:
        return Capability.reason_in(self, mode)  # type: ignore[arg-type]


def instruction(pool: PoolId = ALL_SITES) -> DispatchInstruction:
    return DispatchInstruction(
        dispatch_id=D,
        start_s=0.0,
        end_s=100.0,
        steps=(TargetStep(from_s=0.0, discharge_power_w=1.0),),
        pool=pool,
        policy=AllocationPolicy.HYBRID,
        mode=DispatchMode.NET_EXPORT,
        priority=0,
        accepted_at_s=0.0,
    )


def image(uids: list[int], sites: list[int] | None = None) -> Any:
    columns = empty_columns(len(uids))
    columns["uid"][:] = uids
    columns["site"][:] = sites or [0] * len(uids)
    return freeze(columns, tuple(("S", str(uid)) if uid else None for uid in uids), 0.0)  # type: ignore[misc]  # any key will do


def lines(journal: MemoryJournal) -> list[tuple[str, tuple[int, ...]]]:
    return [(entry.text, entry.uids) for entry in journal.dispatch_log(D)]


def test_only_what_changes_is_written_and_who_is_ready_from_the_beginning_is_not_mentioned() -> None:
    journal = MemoryJournal()
    asides, picture = Asides(journal, TOPOLOGY), image([1, 2, 3])
    asides.note(instruction(), picture, Able(Reason.READY, Reason.NO_CONSENT, Reason.NO_CONSENT), 1.0)  # type: ignore[arg-type]
    asides.note(instruction(), picture, Able(Reason.READY, Reason.NO_CONSENT, Reason.NO_CONSENT), 2.0)  # type: ignore[arg-type]
    asides.note(instruction(), picture, Able(Reason.SILENT, Reason.READY, Reason.NO_CONSENT), 3.0)  # type: ignore[arg-type]
    assert lines(journal) == [("no_consent", (2, 3)), ("ready", (2,)), ("silent", (1,))]


def test_another_session_in_the_row_begins_anew_and_rows_may_be_added() -> None:
    journal = MemoryJournal()
    asides = Asides(journal, TOPOLOGY)
    asides.note(instruction(), image([1]), Able(Reason.SILENT), 1.0)  # type: ignore[arg-type]
    asides.note(instruction(), image([5, 6]), Able(Reason.READY, Reason.MUST_CHARGE), 2.0)  # type: ignore[arg-type]
    assert lines(journal) == [("silent", (1,)), ("must_charge", (6,))]


def test_only_sessions_of_the_pool_are_about_the_dispatch() -> None:
    journal = MemoryJournal()
    north = replace(instruction(), pool=PoolId("north"))
    Asides(journal, TOPOLOGY).note(north, image([1, 2], [1, 2]), Able(Reason.SILENT, Reason.SILENT), 1.0)  # type: ignore[arg-type]
    assert lines(journal) == [("silent", (1,))]


def test_in_a_relative_order_the_reason_is_that_against_a_pause_unless_stations_follow_curves() -> None:
    able = Able(*(Reason.NO_CONSENT,) * 3, pausing=(Reason.READY, Reason.MUST_CHARGE, Reason.NEED_UNKNOWN))
    journal, relative = MemoryJournal(), replace(instruction(), mode=DispatchMode.RELATIVE)
    Asides(journal, TOPOLOGY).note(relative, image([1, 2, 3]), able, 1.0)  # type: ignore[arg-type]
    assert lines(journal) == [("ready", (1,)), ("must_charge", (2,)), ("need_unknown", (3,))]
    journal = MemoryJournal()
    Asides(journal, TOPOLOGY).note(replace(relative, control_path=ControlPath.AFRR), image([1, 2, 3]), able, 1.0)  # type: ignore[arg-type]
    assert lines(journal) == [("no_consent", (1, 2, 3))]
