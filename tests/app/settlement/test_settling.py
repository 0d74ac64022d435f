"""Which ended dispatches still lack a final report."""

import asyncio
from typing import Any

import msgspec
import pytest

from counterflow.app.settlement.settling import LATE_DATA_S, RETRY_S, Settling
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.domain.views import Refusal, RefusalKind

NOW_S = 1_800_000_000.0


def dispatch(name: str, state: DispatchState, end_s: float) -> DispatchInstruction:
    fields: dict[str, Any] = {"dispatch_id": name, "start_s": end_s - 60.0, "end_s": end_s, "steps": (), "pool": "all", "policy": "hybrid"}
    fields |= {"mode": "net_export", "priority": 0, "accepted_at_s": end_s - 60.0, "state": state.value}
    return msgspec.convert(fields, DispatchInstruction)


class Desk:
    """`made` is what was settled, in order; `failing` names what cannot be."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.failing: set[str] = set()
        self.kept: set[str] = set()
        self.recovering_until_s: float | None = None
        self.settling = Settling(self._settle, self.kept.__contains__, 3_600.0)

    async def _settle(self, dispatch_id: DispatchId) -> DeliveryReport | Refusal:
        if dispatch_id in self.failing:
            raise OSError("No space left on device")
        self.made.append(dispatch_id)
        if self.recovering_until_s is None:
            return Refusal(kind=RefusalKind.NOT_FOUND, sentence="It is gone.", remedy="Nothing.")
        ends_s = self.recovering_until_s
        recovery = {"energy_wh": 0.0, "until_s": 0.0, "ends_s": ends_s, "complete": False}
        fields: dict[str, Any] = dict.fromkeys(DeliveryReport.__struct_fields__, 0)
        for name in ("drop_outs", "gaps", "sessions", "series", "notes", "not_judged", "clocks"):
            fields[name] = ()
        for name in ("baseline", "quality", "revision", "evidence"):
            fields[name] = None
        ended = dispatch(dispatch_id, DispatchState.COMPLETED, NOW_S)
        fields |= {"dispatch_id": dispatch_id, "instruction": ended, "final": True, "recovery": recovery}
        return msgspec.convert(fields, DeliveryReport)

    def at(self, now_s: float) -> list[str]:
        asyncio.run(self.settling.settle_due(now_s))
        return self.made


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_dispatch_is_settled_once_late_data_are_in(desk: Desk) -> None:
    desk.settling.ended(DispatchId("d"), NOW_S)
    assert desk.at(NOW_S + LATE_DATA_S - 1.0) == []
    assert desk.at(NOW_S + LATE_DATA_S) == ["d"]
    assert desk.at(NOW_S + 10.0 * LATE_DATA_S) == ["d"]
    assert len(desk.settling) == 0


def test_after_a_start_only_what_ended_without_a_report_is_made_up_for(desk: Desk) -> None:
    desk.kept.add("reported")
    ended = [dispatch(name, DispatchState.COMPLETED, NOW_S - 3_600.0) for name in ("reported", "killed")]
    ended += [dispatch("just now", DispatchState.CANCELLED, NOW_S - 5.0), dispatch("running", DispatchState.RUNNING, NOW_S - 5.0)]
    ended.append(dispatch("long ago", DispatchState.ABORTED, NOW_S - 1e6))
    ended[0] = dispatch("reported", DispatchState.COMPLETED, NOW_S - 7_300.0)
    asyncio.run(desk.settling.find_missing(ended, NOW_S - 86_400.0, NOW_S))
    assert desk.at(NOW_S) == ["killed"]
    assert desk.at(NOW_S + LATE_DATA_S) == ["killed", "just now"]


def test_a_report_that_cannot_be_kept_is_an_alarm_and_tried_again_while_others_are_made(desk: Desk) -> None:
    desk.failing.add("a")
    desk.settling.ended(DispatchId("a"), NOW_S)
    desk.settling.ended(DispatchId("b"), NOW_S)
    now_s = NOW_S + LATE_DATA_S
    assert desk.at(now_s) == ["b"]
    [alarm] = desk.settling.alarms()
    assert "dispatch a" in alarm
    assert "No space left" in alarm
    desk.failing.clear()
    assert desk.at(now_s + RETRY_S / 2.0) == ["b"]
    assert desk.at(now_s + RETRY_S) == ["b", "a"]
    assert desk.settling.alarms() == ()


def test_late_values_make_it_due_again_and_a_row_of_them_only_once(desk: Desk) -> None:
    desk.settling.ended(DispatchId("d"), NOW_S)
    desk.at(NOW_S + LATE_DATA_S)
    later_s = NOW_S + 7_200.0
    for second in (0.0, 20.0, 50.0):
        desk.settling.late(DispatchId("d"), later_s + second)
    assert desk.at(later_s + LATE_DATA_S - 1.0) == ["d"]
    assert desk.at(later_s + LATE_DATA_S) == ["d", "d"]
    assert desk.at(later_s + 10.0 * LATE_DATA_S) == ["d", "d"]


def test_a_report_is_looked_at_once_more_when_its_recovery_is_over_and_not_for_ever(desk: Desk) -> None:
    desk.recovering_until_s = NOW_S + 3_600.0
    desk.settling.ended(DispatchId("d"), NOW_S)
    assert desk.at(NOW_S + LATE_DATA_S) == ["d"]
    assert desk.at(NOW_S + 3_600.0) == ["d"]
    assert desk.at(NOW_S + 3_600.0 + LATE_DATA_S) == ["d", "d"]
    assert len(desk.settling) == 0


def test_after_a_start_what_ended_of_late_is_settled_again_though_a_report_is_kept(desk: Desk) -> None:
    desk.kept.add("d")
    over = [dispatch("d", DispatchState.COMPLETED, NOW_S - 600.0)]
    asyncio.run(desk.settling.find_missing(over, 0.0, NOW_S))
    assert desk.at(NOW_S) == ["d"]
