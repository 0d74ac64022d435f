"""What is shown of drivers, vehicles and contracts, and the answers to changes of them."""

from msgspec import Struct

from counterflow.domain.drivers import PartialTerms


class DriverView(Struct, frozen=True, kw_only=True):
    """What is agreed with a driver, vehicle or contract, and the energy that was taken."""

    scope: str
    subject: str
    label: str
    stored: bool
    terms: PartialTerms
    changed_at_s: float | None
    changed_by: str
    counted_day: str
    day_discharged_wh: float
    year_discharged_wh: float
    year_cycles: float


class BadRow(Struct, frozen=True, kw_only=True):
    """A line of an import that cannot be taken."""

    line: int
    sentence: str


class ImportAnswer(Struct, frozen=True, kw_only=True):
    """The outcome of an import: either every row was taken, or none was and `bad_rows` says why."""

    dry_run: bool
    rows: int
    imported: int
    bad_rows: tuple[BadRow, ...] = ()


class ErasureAnswer(Struct, frozen=True, kw_only=True):
    """What was erased of a person or car."""

    agreements: int
    accounts: int
    sessions: int
    learned: int = 0
