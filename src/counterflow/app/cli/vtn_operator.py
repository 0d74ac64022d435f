"""What the commands under `counterflow vtn` say to a VTN as its operator, and how they show what comes back."""

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import httpx
import msgspec
from msgspec import Struct

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.reading import read_json, read_object, read_page, read_problem
from counterflow.adapters.openadr.writing import write_body, write_object
from counterflow.app.cli.shared import FailedError, Surroundings
from counterflow.app.cli.tables import Column, column, figures, visible, words
from counterflow.domain.grid import GridUnit, Sign, value_of
from counterflow.domain.units import format_instant

OPERATOR = "operator"
T = TypeVar("T", bound=models.AnyObject)


def setpoint_event(
    program_id: str, name: str, power_w: float, sign: Sign, start_s: float, lasting_s: float, each_s: float, targets: Sequence[str] | None,
    priority: int | None,
) -> models.Event:  # fmt: skip
    """Intervals of `each_s`, the last one what is left; demand, setpoint, baseline and state of each, and the energy at the end."""
    value = round(value_of(power_w, sign, GridUnit.KW), 6)
    count = max(1, -int(-lasting_s // each_s))
    last_s = lasting_s - (count - 1) * each_s
    intervals = tuple(
        models.Interval(
            id=number,
            interval_period=models.IntervalPeriod(duration_s=last_s) if number == count - 1 and last_s != each_s else None,
            payloads=(models.ValuesMap(type="DISPATCH_SETPOINT", values=(value,)),),
        )
        for number in range(count)
    )
    each = [("DEMAND", "MEAN", "KW"), ("SETPOINT", None, "KW"), ("BASELINE", "MEAN", "KW"), ("OPERATING_STATE", None, None)]
    return models.Event(
        program_id=program_id,
        event_name=name,
        priority=priority,
        targets=tuple(targets or ()),
        payload_descriptors=(models.EventPayloadDescriptor(payload_type="DISPATCH_SETPOINT", units="KW"),),
        report_descriptors=(
            *(
                models.ReportDescriptor(payload_type=kind, reading_type=reading, units=units, aggregate=True, frequency=1, repeat=-1)
                for kind, reading, units in each
            ),
            models.ReportDescriptor(payload_type="USAGE", reading_type="SUMMED", units="KWH", aggregate=True),
        ),
        interval_period=models.IntervalPeriod(start_s=start_s, duration_s=each_s),
        intervals=intervals,
    )


class Row(Struct, frozen=True):
    """One interval of a report."""

    report: str
    from_s: float
    duration_s: float
    values: str
    corrected: bool


def rows_of(report: models.Report) -> list[Row]:
    units = {one.payload_type: one.units or "" for one in report.payload_descriptors}
    corrected = report.created_s is not None and report.modified_s is not None and report.modified_s > report.created_s + 1e-3
    rows = []
    for resource in report.resources:
        at_s, length_s = 0.0, 0.0
        if resource.interval_period is not None:
            at_s, length_s = resource.interval_period.start_s or 0.0, resource.interval_period.duration_s or 0.0
        for interval in resource.intervals:
            own = interval.interval_period
            if own is not None:
                at_s = own.start_s if own.start_s is not None else at_s
            own_s = own.duration_s if own is not None and own.duration_s is not None else length_s
            told = ", ".join(f"{one.type} {_figure(one.values)} {units.get(one.type, '')}".strip() for one in interval.payloads)
            rows.append(Row(report.report_name or report.id, at_s, own_s, told, corrected))
            at_s += own_s
    return rows


def _figure(values: Sequence[Any]) -> str:
    return " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)


def report_columns() -> list[Column[Row]]:
    return [
        column("report", lambda row: row.report + (" *" if row.corrected else "")),
        column("from", lambda row: format_instant(row.from_s)),
        figures("length s", lambda row: f"{row.duration_s:g}", rank=1),
        words("values (* = corrected)", lambda row: row.values, least_width=30),
    ]


def event_columns() -> list[Column[models.Event]]:
    def start(one: models.Event) -> str:
        start_s = one.interval_period.start_s if one.interval_period is not None else None
        return "-" if start_s is None else "now" if start_s < 0 else format_instant(start_s)

    return [
        column("event", lambda one: one.id),
        column("name", lambda one: one.event_name or "-", rank=2),
        column("start", start),
        figures("intervals", lambda one: str(len(one.intervals)), rank=1),
        words("first value", lambda one: ", ".join(f"{p.type} {_figure(p.values)}" for i in one.intervals[:1] for p in i.payloads) or "-"),
    ]


class Operator:
    """The operator's line to a VTN. Refusals are `FailedError` in a sentence."""

    def __init__(self, url: str, secret: str, around: Surroundings) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(transport=around.transport, timeout=10.0)
        self._secret = secret

    def __enter__(self) -> Self:
        form = {"grant_type": "client_credentials", "client_id": OPERATOR, "client_secret": self._secret}
        token = self._answer(lambda: self._http.post(f"{self._url}/auth/token", data=form)).json()["access_token"]
        self._http.headers["authorization"] = f"Bearer {token}"
        return self

    def __exit__(self, *args: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request below the base address."""
        return self._answer(lambda: self._http.request(method, self._url + path, **options))

    def post(self, event: models.Event) -> httpx.Response:
        """Posts an event."""
        return self.ask("POST", "/events", content=write_body(event), headers={"content-type": "application/json"})

    def all(self, kind: type[T], path: str, params: Sequence[tuple[str, str]] = ()) -> list[T]:
        """Every page of a listing."""
        found: list[T] = []
        while True:
            page = read_page(kind, self.ask("GET", path, params=[*params, ("skip", str(len(found))), ("limit", "50")]).content)
            found.extend(page.items)
            if page.length < 50:
                return found

    def program(self, name: str | None) -> models.Program:
        """The program of this name, or the only one. Raises `FailedError`."""
        known = self.all(models.Program, "/programs")
        found = [one for one in known if name in (None, one.program_name)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(one.program_name for one in known) or "none"
        raise FailedError(f"The VTN has the programs {names}: choose one with --program.")

    def _answer(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            response = request()
        except httpx.HTTPError as error:
            raise FailedError(f"No VTN answers at {self._url} ({type(error).__name__}): is `counterflow vtn` running?") from None
        if response.is_success:
            return response
        problem = read_problem(response.content)
        said = problem.detail or problem.title or response.reason_phrase
        raise FailedError(f"The VTN answers {response.status_code}: {visible(said)}")


def read_one(response: httpx.Response, kind: type[T]) -> T:
    return read_object(kind, read_json(response.content))


def as_json_text(things: Sequence[models.AnyObject]) -> str:
    return msgspec.json.encode([write_object(one) for one in things]).decode()
