"""`counterflow vtn`: the server as a process, what it prints, and the operator's commands against a VTN on a free port."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import Event, Interval, IntervalPeriod, Report, ReportResource, ValuesMap, Version
from counterflow.app.cli import app
from counterflow.app.cli.shared import Surroundings
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, beside

NOW_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def running() -> Iterator[Vtn]:
    with beside(run="t", now_s=lambda: NOW_S) as vtn:
        vtn.house.store.create(OPERATOR, models.Program(program_name="v2g"), Version.V3_1_0)
        yield vtn


@pytest.fixture
def vtn(running: Vtn) -> Vtn:
    for event in running.house.store.all_of(Event):
        running.house.store.delete(OPERATOR, Event, event.id, Version.V3_1_0)
    return running


@pytest.fixture
def counterflow(vtn: Vtn) -> Run:
    def run(*args: str, columns: int = 120) -> Result:
        around = Surroundings(now_s=lambda: NOW_S)
        env = {"COLUMNS": str(columns), "NO_COLOR": "1", "OPENADR_VTN_URL": vtn.url()}
        result = CliRunner().invoke(app, ["vtn", *args], obj=around, env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_an_order_is_an_event_in_the_load_convention_with_reports_asked_for(vtn: Vtn, counterflow: Run) -> None:
    said = counterflow("order", "2MW", "15min", "--report-every", "4min", "--target", "vpp-north", "--priority", "1").stdout
    (event,) = vtn.house.store.all_of(Event)
    assert event.id in said
    assert (event.event_name, event.priority, event.targets) == ("order-17:00:00", 1, ("vpp-north",))
    assert event.interval_period == IntervalPeriod(start_s=NOW_S, duration_s=240.0)
    assert [one.payloads[0].values for one in event.intervals] == [(-2000.0,)] * 4
    assert [one.interval_period for one in event.intervals] == [None, None, None, IntervalPeriod(duration_s=180.0)]
    assert {one.payload_type: one.frequency for one in event.report_descriptors} == {
        "DEMAND": 1, "SETPOINT": 1, "BASELINE": 1, "OPERATING_STATE": 1, "USAGE": -1,
    }  # fmt: skip


def test_the_sign_and_the_start_are_as_they_are_given(vtn: Vtn, counterflow: Run) -> None:
    answer = counterflow("order", "100kW", "1h", "--start", "2026-11-22T18:00Z", "--sign", "generator", "--report-every", "1h", "--json")
    raw = json.loads(answer.stdout)
    assert raw["intervals"][0]["payloads"] == [{"type": "DISPATCH_SETPOINT", "values": [100.0]}]
    assert raw["intervalPeriod"] == {"start": "2026-11-22T18:00:00Z", "duration": "PT1H"}


def test_events_are_listed_and_cancelled(vtn: Vtn, counterflow: Run) -> None:
    assert "No event was posted." in counterflow("events").stdout
    counterflow("order", "50kW", "2min")
    (event,) = vtn.house.store.all_of(Event)
    shown = counterflow("events").stdout
    assert event.id in shown
    assert "DISPATCH_SETPOINT -50" in shown
    assert json.loads(counterflow("events", "--json").stdout)[0]["id"] == event.id
    assert counterflow("cancel", event.id).stdout == f"Event {event.id} is gone.\n"
    refused = counterflow("cancel", event.id)
    assert (refused.exit_code, "There is no event" in refused.stderr) == (1, True)


def test_reports_are_shown_interval_by_interval(vtn: Vtn, counterflow: Run) -> None:
    assert "No report came in." in counterflow("reports").stdout
    counterflow("order", "50kW", "2min")
    (event,) = vtn.house.store.all_of(Event)
    intervals = tuple(
        Interval(id=n, payloads=(ValuesMap(type="DEMAND", values=(-48.5 - n,)), ValuesMap(type="DATA_QUALITY", values=("OK",))))
        for n in range(25)
    )
    period = IntervalPeriod(start_s=NOW_S, duration_s=60.0)
    resource = ReportResource(resource_name="AGGREGATED_REPORT", interval_period=period, intervals=intervals)
    unit = models.ReportPayloadDescriptor(payload_type="DEMAND", units="KW")
    report = Report(event_id=event.id, client_name="depot", report_name="order/0", payload_descriptors=(unit,), resources=(resource,))
    vtn.house.store.create(VEN, report, Version.V3_1_0)
    answer = counterflow("reports")
    assert "DEMAND -72.5 KW, DATA_QUALITY OK" in answer.stdout
    assert "2026-11-22T17:24:00Z" in answer.stdout
    assert "-48.5" not in answer.stdout
    assert "5 earlier intervals" in answer.stderr
    assert "DEMAND -48.5 KW" in counterflow("reports", "--all").stdout
    assert json.loads(counterflow("reports", "--event", event.id, "--json").stdout)[0]["reportName"] == "order/0"
    assert json.loads(counterflow("reports", "--event", "other", "--json").stdout) == []


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("order", "-2MW", "15min"), 2, "is not a discharge power"),
        (("order", "2MW", "15"), 2, "duration"),
        (("order", "2MW", "15min", "--program", "other"), 1, "has the programs v2g"),
        (("order", "2MW", "15min", "--secret", "wrong"), 1, "401"),
        (("events", "--url", "http://127.0.0.1:9/openadr3/3.1.0"), 1, "is `counterflow vtn` running?"),
        (("--host", "0.0.0.0", "--port", "0"), 2, "set secrets of your own"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(counterflow: Run, args: tuple[str, ...], code: int, says: str) -> None:
    result = counterflow(*args)
    assert (result.exit_code, says in result.stderr) == (code, True), result.stderr


def test_a_port_that_is_taken_is_named(counterflow: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = counterflow("--port", str(taken.getsockname()[1]))
    assert (result.exit_code, "cannot listen on 127.0.0.1" in result.stderr) == (1, True)


def test_what_it_prints_works_when_it_is_typed(tmp_path: Any) -> None:
    command = [sys.executable, "-c", "from counterflow.app.cli import main; main()", "vtn", "--port", "0", "--program", "afrr"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        try:
            greeting = "".join(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
            url = re.search(r"VTN of the program 'afrr': (\S+)", greeting)
            assert url is not None
            by_hand = greeting.partition("The same by hand:\n")[2]
            typed = subprocess.run(["sh", "-ec", by_hand], capture_output=True, text=True, check=True, timeout=60)
            event = json.loads(typed.stdout)
            assert event["intervals"][0]["payloads"][0]["values"] == [-100]
            older = re.search(r"OpenADR 3\.0\.1 as well: +(\S+)", greeting)
            assert older is not None
            assert httpx.get(f"{older[1]}/programs").status_code == 401
            process.stdout.readline()
            assert event["id"] in process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130)


def test_the_settings_that_it_prints_are_understood(counterflow: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from counterflow.app.config import load

    file = tmp_path / "counterflow.toml"
    file.write_text(counterflow("settings").stdout, encoding="utf-8")
    settings = load(file, {}, {})
    assert [one.name for one in settings.programs] == ["v2g"]
    assert settings.openadr.vtns[0].client_id == VEN.client_id
