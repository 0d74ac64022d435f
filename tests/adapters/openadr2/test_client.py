"""What `openleadr`'s client lacks: resource status, reports at the VTN's interval, and knowing whether the VTN still knows us."""

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openleadr import OpenADRClient, enums, objects
from openleadr.messaging import create_message, validate_xml_schema

from counterflow.adapters.openadr2 import client as client_module
from counterflow.adapters.openadr2.client import Client, Quantity, Value, with_status
from counterflow.adapters.openadr2.settings import OpenAdr2Settings

SETTINGS = OpenAdr2Settings(vtn_url="http://127.0.0.1:1/OpenADR2/Simple/2.0b", ven_name="counterflow")
RATE = objects.SamplingRate(min_period=timedelta(seconds=2), max_period=timedelta(minutes=15), on_change=False)
NOW_S = 1_795_366_800.0


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


async def nothing(_ids: Collection[str]) -> None:
    """Nobody asks."""


def update(*values: tuple[str, float]) -> str:
    """An oadrUpdateReport as `openleadr` writes it."""
    at = datetime.fromtimestamp(NOW_S, UTC)
    intervals = [objects.ReportInterval(dtstart=at, report_payload=objects.ReportPayload(r_id=r_id, value=value)) for r_id, value in values]
    report = objects.Report(report_specifier_id="s", report_name="TELEMETRY_STATUS", report_request_id="q", intervals=intervals)
    text: str = create_message("oadrUpdateReport", ven_id="v", request_id="r", reports=[report])
    return text


@pytest.mark.parametrize(("code", "online", "held"), [(1.0, "true", "false"), (0.0, "false", "false"), (-1.0, "true", "true")])
def test_a_status_is_written_as_one_and_the_schema_allows_it(code: float, online: str, held: str) -> None:
    text = with_status(update(("dr/status", code), ("dr/powerReal", 12.5)), {"dr/status"})
    tree = validate_xml_schema(text)
    found = {element.tag.rpartition("}")[2]: element.text for element in tree.iter()}
    assert (found["oadrOnline"], found["oadrManualOverride"], found["value"]) == (online, held, "12.5")


def test_other_reports_stay_as_they_are() -> None:
    text = with_status(update(("dr/powerReal", 12.5)), {"dr/status"})
    assert "oadrPayloadResourceStatus" not in text
    validate_xml_schema(text)


class Clock:
    """What `datetime.now` says."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def now(self, _zone: object) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def fromtimestamp(self, at_s: float, zone: Any) -> datetime:
        return datetime.fromtimestamp(at_s, zone)


def offered(monkeypatch: pytest.MonkeyPatch, values: Callable[[float, float, float], list[Value]]) -> tuple[Client, Clock]:
    clock = Clock()
    monkeypatch.setattr(client_module, "datetime", clock)
    made = Client(SETTINGS, "", nothing)
    made.offer(enums.REPORT_NAME.TELEMETRY_USAGE, "REAL_POWER", Quantity("dr/powerReal", "dr", values), RATE)
    made.offer(enums.REPORT_NAME.TELEMETRY_USAGE, "REAL_ENERGY", Quantity("dr/energyReal", "dr", lambda *_: []), RATE)
    return made, clock


def requested(client: Client, granularity_s: float, back_s: float, *r_ids: str) -> None:
    client.report_requests.append(
        {
            "report_request_id": "q",
            "report_specifier_id": client.reports[0].report_specifier_id,
            "report_back_duration": timedelta(seconds=back_s),
            "granularity": timedelta(seconds=granularity_s),
            "r_ids": list(r_ids),
            "job": None,
        }
    )


@in_loop
async def test_a_report_comes_once_an_interval_with_all_samples_since_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float, float]] = []

    def values(from_s: float, to_s: float, step_s: float) -> list[Value]:
        asked.append((from_s, to_s, step_s))
        return [Value(from_s + number * step_s, 1.0, step_s) for number in range(round((to_s - from_s) / step_s))]

    client, clock = offered(monkeypatch, values)
    requested(client, 10.0, 60.0, "dr/powerReal", "dr/powerReal", "of another report")
    for _ in range(13):
        await client.update_report("q")
        clock.now_s += 10.0
    reports = [client.pending_reports.get_nowait() for _ in range(client.pending_reports.qsize())]
    assert [len(report.intervals) for report in reports] == [6, 6]
    times = [interval.dtstart.timestamp() - NOW_S for report in reports for interval in report.intervals]
    assert times == [-10.0 + 10.0 * number for number in range(12)], "each sample once"
    assert {step_s for _, _, step_s in asked} == {10.0}


@in_loop
async def test_a_single_report_is_of_now_and_what_is_not_known_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = offered(monkeypatch, lambda _from_s, to_s, step_s: [Value(to_s - step_s, 7.0, step_s)])
    requested(client, 0.0, 0.0, "dr/powerReal", "dr/energyReal")
    await client.update_report("q")
    report = client.pending_reports.get_nowait()
    assert [(one.report_payload.r_id, one.report_payload.value) for one in report.intervals] == [("dr/powerReal", 7.0)]
    client.report_requests[0]["r_ids"] = ["dr/energyReal"]
    await client.update_report("q")
    await client.update_report("never asked for")
    assert client.pending_reports.empty()


@in_loop
async def test_a_vtn_that_does_not_know_us_is_believed_at_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [None, (None, {}), ("oadrResponse", {"response": {"response_code": 463}})]

    async def answered(_self: object, _service: str, _message: str) -> Any:
        return answers.pop(0)

    monkeypatch.setattr(OpenADRClient, "_perform_request", answered)
    client = Client(SETTINGS, "v", nothing)
    client.heard_at_s = 0.0
    assert await client.poll() == (None, {}), "an empty body"
    assert await client.poll() == (None, {})
    assert (client.heard_at_s, client.forgotten) == (0.0, False)
    await client.poll()
    assert client.heard_at_s > 0.0
    assert client.forgotten
