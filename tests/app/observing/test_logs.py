"""Log lines are JSON where nobody watches, and go to standard error."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from counterflow.app.observing.logs import configure_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is global: leave it as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_our_lines_and_those_of_libraries_are_json_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    structlog.get_logger("counterflow").info("serving", port=9000)
    logging.getLogger("uvicorn.error").warning("odd %s", "thing")
    captured = capsys.readouterr()
    ours, theirs = [json.loads(line) for line in captured.err.splitlines()]
    assert captured.out == ""
    assert (ours["event"], ours["port"], ours["level"]) == ("serving", 9000, "info")
    assert (theirs["event"], theirs["level"]) == ("odd thing", "warning")
    assert ours["timestamp"].endswith("Z")


def test_what_is_less_severe_than_the_setting_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")
    structlog.get_logger("counterflow").info("calm")
    logging.getLogger("asyncio").info("calm")
    assert capsys.readouterr().err == ""
    configure_logging("info")
    logging.getLogger("asyncio").info("a library's own information")
    assert capsys.readouterr().err == ""


def test_an_error_carries_its_trace_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("error")
    try:
        raise OSError("disk full")
    except OSError:
        structlog.get_logger("counterflow").exception("write failed")
        logging.getLogger("asyncio").exception("task failed")
    for line in capsys.readouterr().err.splitlines():
        assert "disk full" in json.dumps(json.loads(line)["exception"])
