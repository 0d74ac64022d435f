"""A report is made again by the server from log and meter values: it holds, until somebody changes what it says."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.app.desks import report_desk
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId


def test_a_report_holds_and_a_changed_one_does_not(town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    at = town(10, 2, plant=ideal)
    at.run(60)
    dispatch_id = at.order(60.0, 0.6).dispatch_id
    at.run(120)
    verdict = asyncio.run(at.operations.verification(dispatch_id))
    assert verdict.differences == ()
    assert verdict.holds
    assert verdict.delivered_energy_wh == verdict.made_again_wh > 0.0
    assert verdict.samples > 0
    report, stored = asyncio.run(at.operations.evidence(dispatch_id))

    async def changed(*_: Any) -> tuple[DeliveryReport, Any]:
        return replace(report, delivered_energy_wh=report.delivered_energy_wh + 1.0), stored

    monkeypatch.setattr(report_desk.ReportDesk, "evidence", changed)
    verdict = asyncio.run(at.operations.verification(dispatch_id))
    assert not verdict.holds
    assert "contradicts itself" in verdict.differences[0]

    async def old(*_: Any) -> tuple[DeliveryReport, Any]:
        return replace(report, evidence=None), stored

    monkeypatch.setattr(report_desk.ReportDesk, "evidence", old)
    verdict = asyncio.run(at.operations.verification(dispatch_id))
    assert (verdict.holds, verdict.made_again_wh) == (False, None)
    assert "older release" in verdict.differences[0]


def test_a_dispatch_that_is_not_known_is_not_found(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 2, plant=ideal)
    assert asyncio.run(at.operations.verification(DispatchId("d-none"))).sentence.startswith("There is no dispatch")
