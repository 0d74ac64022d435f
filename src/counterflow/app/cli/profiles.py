"""Stepped profiles as people write them: `--step 17:15=2MW`, or a file of times and powers."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from counterflow.app.cli.shared import FailedError, WrongUsageError
from counterflow.domain.units import UnitError, parse_asked_power_w, parse_duration_s, parse_instant_s

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?Z?")
_FORM = "write a step as TIME=POWER: 17:15=2MW (UTC), +15min=2MW or 2026-11-22T17:15Z=2MW"


def step_of(text: str, start_s: float) -> dict[str, float]:
    """`17:15=2MW`, `+15min=2MW`, `2026-11-22T17:15Z=2MW` as a step's body. A clock time is UTC, the first after the start.

    Raises WrongUsageError with what to write, and UnitError.
    """
    when, equals, power = text.partition("=")
    if not equals:
        raise WrongUsageError(f"'{text}' has no '=': {_FORM}.")
    return _step(when, power, start_s)


def steps_in(path: Path, start_s: float) -> list[dict[str, float]]:
    """The steps of a file: CSV with the columns time and power (a head line may be there), or JSON, a list of pairs of them.

    Raises FailedError when it cannot be read, WrongUsageError when a line cannot be understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise FailedError(f"The profile {path} cannot be read: {reason}.") from None
    found = []
    for number, (when, power) in _pairs(path, text):
        try:
            found.append(_step(when, power, start_s))
        except (WrongUsageError, UnitError) as error:
            raise WrongUsageError(f"{path}, line {number}: {error}") from None
    if not found:
        raise WrongUsageError(f"The profile {path} has no steps.")
    return found


def _pairs(path: Path, text: str) -> list[tuple[int, tuple[str, str]]]:
    """(line or entry, (time, power)) of a file."""
    if text.lstrip().startswith("["):
        try:
            return list(enumerate(msgspec.json.decode(text.encode(), type=list[tuple[str, str]]), start=1))
        except msgspec.DecodeError as error:
            raise WrongUsageError(f'{path} is not a list of pairs such as [["+15min", "2MW"]]: {error}.') from None
    pairs = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[0].lower() == "time"):
            continue
        if len(cells) != 2:
            raise WrongUsageError(f"{path}, line {number}: {len(cells)} columns; write time,power such as 17:15,2MW.")
        pairs.append((number, (cells[0], cells[1])))
    return pairs


def _step(when: str, power: str, start_s: float) -> dict[str, float]:
    when, power_w = when.strip(), parse_asked_power_w(power)
    if when.startswith("+"):
        return {"after_s": parse_duration_s(when[1:]), "discharge_power_w": power_w}
    clock = _CLOCK.fullmatch(when)
    return {"from_s": parse_instant_s(when) if clock is None else _next(clock, start_s), "discharge_power_w": power_w}


def _next(clock: re.Match[str], start_s: float) -> float:
    hour, minute, second = (int(part or 0) for part in clock.groups())
    start = datetime.fromtimestamp(start_s, tz=UTC)
    moment = start.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return (moment if moment > start else moment + timedelta(days=1)).timestamp()
