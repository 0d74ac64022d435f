"""The CSV file of drivers, vehicles and contracts: read whole, and either every row is understood or each bad one is named.

Columns are named in the first line, in any order; `id` is needed, the others may be missing. An empty cell means "as the wider scope".
"""

import csv
import io
from collections.abc import Callable

import msgspec

from counterflow.domain.driver_views import BadRow
from counterflow.domain.drivers import Agreement, PartialTerms, Scope
from counterflow.domain.units import UnitError, parse_duration_s, parse_energy_wh, parse_share

WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def yes_or_no(text: str) -> bool:
    """`yes` or `no`. Raises `UnitError`."""
    try:
        return WORDS[text.strip().lower()]
    except KeyError:
        raise UnitError(f"'{text}' is neither yes nor no.") from None


def number(text: str) -> float:
    """A plain number, >= 0. Raises `UnitError`."""
    try:
        value = float(text)
    except ValueError:
        raise UnitError(f"'{text}' is not a number.") from None
    if not 0.0 <= value < float("inf"):
        raise UnitError(f"'{text}' is not a number from 0 on.")
    return value


def windows(text: str) -> list[str]:
    """Weekly times, separated by semicolons."""
    return [part.strip() for part in text.split(";") if part.strip()]


TERM_COLUMNS: dict[str, tuple[str, Callable[[str], object]]] = {
    "contract": ("contract", str.strip),
    "consent": ("consent", yes_or_no),
    "pausing": ("pausing", yes_or_no),
    "max_pause": ("max_pause_s", parse_duration_s),
    "min_soc": ("min_soc_frac", parse_share),
    "target_soc": ("target_soc_frac", parse_share),
    "departure_after": ("departure_after_s", parse_duration_s),
    "blackouts": ("blackouts", windows),
    "timezone": ("timezone", str.strip),
    "max_session_discharge": ("max_session_discharge_wh", parse_energy_wh),
    "max_day_discharge": ("max_day_discharge_wh", parse_energy_wh),
    "max_year_discharge": ("max_year_discharge_wh", parse_energy_wh),
    "max_year_cycles": ("max_year_cycles", number),
    "wear_cost": ("wear_cost_per_kwh", number),
    "vehicle_model": ("vehicle_model", str.strip),
    "transfer_by_evse_alone": ("transfer_by_evse_alone", yes_or_no),
}
"""Column of the file (and option of `drivers set`): field of the terms, and how its text is read."""
COLUMNS = ("scope", "id", "label", *TERM_COLUMNS)


class FileError(ValueError):
    """The file as a whole cannot be read; the text is a sentence."""


def read_file(text: str) -> tuple[list[Agreement], list[BadRow]]:
    """All rows as agreements, and the rows that cannot be taken with their line and a sentence. Raises `FileError`."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    agreements: list[Agreement] = []
    bad: list[BadRow] = []
    seen: dict[tuple[Scope, str], int] = {}
    try:
        _check_header(reader.fieldnames)
        for row in reader:
            line = reader.line_num
            try:
                agreement = _agreement(row)
                key = (agreement.scope, agreement.identifier.casefold())
                if key in seen:
                    raise ValueError(f"the same {agreement.scope} is already in line {seen[key]}; keep one of the two.")
                seen[key] = line
                agreements.append(agreement)
            except ValueError as error:
                bad.append(BadRow(line=line, sentence=str(error)))
    except csv.Error as error:
        raise FileError(f"Line {reader.line_num} is not CSV: {error}.") from None
    return agreements, bad


def terms_from(texts: dict[str, str]) -> dict[str, object]:
    """Fields of the terms from texts by column; empty texts are left out. Raises ValueError with a sentence that names the column."""
    fields: dict[str, object] = {}
    for column, (field, read) in TERM_COLUMNS.items():
        text = texts.get(column, "")
        if text.strip():
            try:
                fields[field] = read(text)
            except ValueError as error:
                raise ValueError(f"{column}: {error}") from None
    try:
        msgspec.convert(fields, PartialTerms)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace(" - at `$.", " in `")) from None
    return fields


def _check_header(names: object) -> None:
    if not isinstance(names, list) or "id" not in names:
        raise FileError(f"The first line must name the columns, 'id' among them; known are {', '.join(COLUMNS)}.")
    unknown = [str(name) for name in names if name not in COLUMNS]
    if unknown:
        raise FileError(f"There is no column '{unknown[0]}'; known are {', '.join(COLUMNS)}.")
    if len(set(names)) != len(names):
        raise FileError("The first line names a column twice.")


def _agreement(row: dict[str | None, str | list[str] | None]) -> Agreement:
    cells = {name: value or "" for name, value in row.items() if name is not None and not isinstance(value, list)}
    if None in row:
        raise ValueError("it has more cells than the first line names; put texts with commas into quotes.")
    identifier = cells.get("id", "").strip()
    if not 1 <= len(identifier) <= 255:
        raise ValueError("id: it must have 1 to 255 characters.")
    scope = cells.get("scope", "").strip().lower() or Scope.DRIVER.value
    if scope not in set(Scope):
        raise ValueError(f"scope: '{scope}' is none of {', '.join(Scope)}.")
    terms = msgspec.convert(terms_from(cells), PartialTerms)
    return Agreement(Scope(scope), identifier, cells.get("label", "").strip(), terms)
