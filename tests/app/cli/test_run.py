"""Serve and simulate: wrong settings stop the start with one sentence; the real thing starts, serves, and stops on a signal."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from counterflow.app.cli import app
from counterflow.app.cli.run import refusal_words, simulation_words, welcome
from counterflow.sim.client import FleetProgress

RUN = [sys.executable, "-c", "from counterflow.app.cli import main; main()"]


@pytest.mark.parametrize(
    ("options", "environment", "sentence"),
    [
        (["--config", "missing.toml"], {}, "The settings file missing.toml cannot be read: No such file or directory."),
        (["--api-port", "70000"], {}, "The setting 'api.port' must be at most 65535"),
        ([], {"COUNTERFLOW_OCPP_PORT": "many"}, "The setting 'gateway.port' must be a whole number, not a text"),
        ([], {"COUNTERFLOW_OCPP_PROT": "9000"}, "The environment variable COUNTERFLOW_OCPP_PROT is not known"),
        (
            [],
            {"COUNTERFLOW_CONFG": "x"},
            "known are COUNTERFLOW_ACCEPT_UNKNOWN_STATIONS, COUNTERFLOW_API_HOST, COUNTERFLOW_API_PORT, "
            "COUNTERFLOW_API_URL, COUNTERFLOW_CONFIG, COUNTERFLOW_CONSOLE, COUNTERFLOW_CONSOLE_PORT, COUNTERFLOW_DATA_DIR",
        ),
        (["--ocpp-port", "many"], {}, "Invalid value for '--ocpp-port'"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], environment: dict[str, str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["serve", *options], env=environment)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    config = tmp_path / "counterflow.toml"
    config.write_text("[gateway]\nprot = 9000\n")
    result = CliRunner().invoke(app, ["serve"], env={"COUNTERFLOW_CONFIG": str(config)})
    assert result.exit_code == 2
    assert result.stderr == "Error: There is no setting 'prot' in [gateway]; see docs/settings.md.\n"


def test_the_welcome_says_where_everything_is(tmp_path: Path) -> None:
    text = welcome(["ws://127.0.0.1:9000/ocpp"], "http://127.0.0.1:8000", tmp_path)
    for part in ("ws://127.0.0.1:9000/ocpp/<station id>", "http://127.0.0.1:8000", str(tmp_path / "api-token")):
        assert part in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--url", "http://127.0.0.1:9000"], "'http://127.0.0.1:9000' is not where stations connect"),
        (["--url", "ws://"], "'ws://' is not where stations connect"),
        (["--url", "ws://127.0.0.1:9/ocpp", "--for", "10"], "'10' is not understood: write a duration"),
        (["--url", "ws://127.0.0.1:9/ocpp", "--stations", "0"], "Invalid value for '--stations'"),
        ([], "Missing option '--url'"),
    ],
)
def test_simulate_refuses_what_it_cannot_understand(options: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["simulate", *options])
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_simulate_refuses_certificates_that_are_not_there(tmp_path: Path) -> None:
    run, pem = ["simulate", "--url", "wss://127.0.0.1:9/ocpp", "--stations", "2", "--for", "1s"], tmp_path / "SIM-00001.pem"
    pem.write_text("a certificate")
    for options, sentence in (
        (["--ca", "/none"], "There is no authority's certificate at /none (--ca)."),
        (["--certificates", str(tmp_path)], f"There is no {tmp_path / 'SIM-00002.pem'}: --certificates needs <identity>.pem"),
    ):
        result = CliRunner().invoke(app, run + options)
        assert result.exit_code == 2
        assert sentence in result.stderr


def test_a_fleet_that_never_connects_is_a_failure_with_the_reason() -> None:
    result = CliRunner().invoke(app, ["simulate", "--stations", "2", "--url", "ws://127.0.0.1:1/ocpp", "--for", "0.3s"])
    assert result.exit_code == 1
    assert "No station could connect to ws://127.0.0.1:1/ocpp: SIM-0000" in result.stderr


def test_the_simulated_fleet_in_words() -> None:
    progress = FleetProgress(
        stations=200,
        connected=199,
        booted=198,
        sessions=197,
        pending=3,
        messages_in=10,
        messages_out=20,
        true_power_w=-1_400_000.0,
        refused="SIM-00001: 401\x1b[2J",
    )
    text = simulation_words(progress)
    assert text.startswith("199 of 200 stations connected, 198 booted, 197 sessions, 1.400 MW discharging\n10 messages in, 20 out")
    assert "latest failure: SIM-00001: 401" in text
    assert "\x1b" not in text


def test_a_station_that_is_not_let_in_is_told_what_to_do() -> None:
    unknown = refusal_words("SIM-00001: expected 101 but received 404")
    assert unknown.startswith("SIM-00001: expected 101 but received 404. Is the station registered?")
    assert "--accept-unknown-stations" in unknown
    assert "--password" in refusal_words("SIM-00001: received 401")
    assert refusal_words("SIM-00404: connection refused") == "SIM-00404: connection refused."


Start = Callable[..., tuple[subprocess.Popen[str], list[str]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start("serve", "--api-port", "0", lines=5)` runs a command for real and reads its first lines."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str, lines: int) -> tuple[subprocess.Popen[str], list[str]]:
        process = subprocess.Popen(
            [*RUN, *arguments], stdout=subprocess.PIPE, stderr=(tmp_path / f"stderr-{len(running)}").open("w"), text=True, cwd=tmp_path
        )
        running.append(process)
        assert process.stdout is not None
        read = [line.rstrip() for line in itertools.islice(iter(process.stdout.readline, ""), lines)]
        assert len(read) == lines, (tmp_path / f"stderr-{len(running) - 1}").read_text()
        return process, read

    yield run
    for process in running:
        process.kill()
        process.wait()


SERVE = ("serve", "--no-console", "--ocpp-port", "0", "--api-port", "0", "--accept-unknown-stations", "--default-consent", "--data-dir")


def test_a_person_serves_simulates_looks_orders_and_stops(start: Start, tmp_path: Path) -> None:
    server, lines = start(*SERVE, str(tmp_path / "vpp"), lines=5)
    words = [line.split() for line in lines]
    ocpp_url, api_url = words[1][1].removesuffix("/<station"), words[2][-1]
    assert oct(os.stat(words[4][-1]).st_mode & 0o777) == "0o600"
    fleet, _ = start("simulate", "--stations", "5", "--url", ocpp_url, lines=1)

    def ask(*arguments: str) -> Any:
        return CliRunner().invoke(app, [*arguments, "--api", api_url, "--data-dir", str(tmp_path / "vpp")], env={"COLUMNS": "80"})

    deadline_s = time.monotonic() + 90.0
    while (seen := ask("fleet").stdout).find("5 can be discharged, of 5") < 0 and time.monotonic() < deadline_s:
        time.sleep(0.2)  # two real processes: there is no clock to turn
    assert "5 connected of 5 known" in " ".join(seen.split()), ask("sessions").stdout
    assert ask("stations", "add", "CS-1", "--site", "default").exit_code == 0
    assert "CS-1" in ask("stations").stdout
    assert "can be discharged" in ask("sessions").stdout
    dry = ask("dispatch", "10kW", "5min", "--dry-run")
    assert (dry.exit_code, "from 5 sessions" in dry.stdout) == (0, True), dry.output
    order = ask("dispatch", "10kW", "5min")
    dispatch_id = order.stdout.split()[1]
    assert dispatch_id in ask("dispatches").stdout
    assert ask("amend", dispatch_id, "--for", "2min").exit_code == 0
    second = ask("dispatch", "10kW", "5min")
    assert (second.exit_code, dispatch_id in second.stderr) == (1, True), second.output
    assert ask("call", "SIM-00001", "GetVariables", '{"getVariableData": []}').exit_code == 1
    assert "Delivered:" in ask("report", dispatch_id).stdout
    assert ask("cancel", dispatch_id).exit_code == 0
    assert "THE EMERGENCY STOP IS ON" in ask("emergency-stop").stdout
    assert ask("dispatch", "10kW", "5min").exit_code == 1
    assert ask("emergency-stop", "--reset", "--yes").exit_code == 0
    assert ask("clear-all").exit_code == 0
    for process in (fleet, server):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert "Traceback" not in (tmp_path / "stderr-0").read_text() + (tmp_path / "stderr-1").read_text()
    assert ask("fleet").exit_code == 1


@pytest.mark.parametrize("option", ["--api-port", "--ocpp-port"])
def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = ["--api-port", "0", "--ocpp-port", "0", option, str(taken.getsockname()[1])]
        result = subprocess.run(
            [*RUN, "serve", "--data-dir", str(tmp_path), *ports], capture_output=True, text=True, timeout=60, check=False
        )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "The server cannot start" in result.stderr


def test_a_data_dir_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "counterflow.app.observing.logs.configure_logging", lambda _level: None
    )  # it is global, and this is the tests' process
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["serve", "--data-dir", str(tmp_path / "file" / "vpp"), "--api-port", "0", "--ocpp-port", "0"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The server cannot start: Not a directory")
