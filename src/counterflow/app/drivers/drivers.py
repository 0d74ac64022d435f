"""The agreements with drivers, vehicles and contracts: kept durable, changed over the API, and handed to the fleet."""

from collections.abc import Callable, Iterable

import msgspec

from counterflow.domain.driver_views import DriverView
from counterflow.domain.drivers import AccountRecord, Agreement, DriverRecord, PartialTerms, Scope
from counterflow.domain.records import DocumentKind
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.terms import TermsResolver, account_of
from counterflow.engine.ports import Journal


class Drivers:
    """Single writer of agreements and accounts. Who changes something tells the control room (`agreements_changed`) afterwards."""

    def __init__(self, terms: TermsResolver, fleet: FleetState, journal: Journal, pseudonym: Callable[[str], str]) -> None:
        self._terms = terms
        self._fleet = fleet
        self._journal = journal
        self._pseudonym = pseudonym
        self._records: dict[tuple[Scope, str], DriverRecord] = {}

    def restore(self) -> None:
        """Everything from the journal."""
        for _, record in self._journal.documents(DocumentKind.DRIVER):
            self._records[record.scope, record.subject] = record
            self._terms.store(record.scope, record.subject, record.terms)

    def subject_of(self, scope: Scope, identifier: str) -> str:
        """How an identifier is kept: contracts by their name, people and cars by a pseudonym."""
        return identifier if scope is Scope.CONTRACT else self._pseudonym(identifier)

    def views(self) -> list[DriverView]:
        """All agreements, stored ones and those of the settings, by scope and subject."""
        known = set(self._records) | {(scope, subject) for scope in Scope for subject in self._terms.in_settings(scope)}
        return [self._view(scope, subject) for scope, subject in sorted(known)]

    def view(self, scope: Scope, subject: str) -> DriverView | None:
        """One agreement, or the account of a subject without one; None when neither is known."""
        known = self._terms.agreement(scope, subject) is not None or self._account(scope, subject) is not None
        return self._view(scope, subject) if known else None

    def agree(self, agreements: Iterable[Agreement], now_s: float, by: str) -> list[DriverView]:
        """Store each, in place of what was agreed with its subject before; a label of None keeps the one that it has."""
        changed = []
        for one in agreements:
            subject = self.subject_of(one.scope, one.identifier)
            before = self._records.get((one.scope, subject))
            label = one.label if one.label is not None else before.label if before is not None else ""
            self._keep(DriverRecord(scope=one.scope, subject=subject, terms=one.terms, label=label, changed_at_s=now_s, changed_by=by))
            changed.append(self._view(one.scope, subject))
        return changed

    def merged(self, scope: Scope, identifier: str, changes: dict[str, object]) -> PartialTerms:
        """What is agreed with a subject, with `changes` to its fields (None = as the wider scope). Raises msgspec.ValidationError."""
        before = self._terms.agreement(scope, self.subject_of(scope, identifier))
        fields = msgspec.to_builtins(before) if before is not None else {}
        return msgspec.convert(fields | changes, PartialTerms)

    def remove(self, scope: Scope, subject: str) -> bool:
        """Take an agreement back; what the settings say for the subject holds again. Returns whether one was stored."""
        if self._records.pop((scope, subject), None) is None:
            return False
        self._terms.store(scope, subject, None)
        self._journal.delete(DocumentKind.DRIVER, _key(scope, subject))
        return True

    def erase(self, subjects: Iterable[str]) -> tuple[int, int]:
        """Erase agreements and accounts of people and cars, by pseudonym. Returns how many of each there were."""
        kept = [(scope, subject) for scope in (Scope.DRIVER, Scope.VEHICLE) for subject in sorted(subjects)]
        agreements = sum(self.remove(scope, subject) for scope, subject in kept)
        accounts = sum(self._fleet.accounts.forget(account_of(scope, subject)) for scope, subject in kept)
        self.keep_accounts()
        return agreements, accounts

    def expire_accounts(self, now_s: float, kept_days: int) -> int:
        """Remove counted energy that no cap looks back to any more. Returns how many accounts went."""
        count = self._fleet.accounts.expire(now_s, kept_days, lambda uid: self._fleet.row_of(uid) is not None)
        if count:
            self.keep_accounts()
        return count

    def keep_accounts(self) -> None:
        """Store the accounts that have moved."""
        for record in self._fleet.accounts.take_changed():
            self._journal.put(DocumentKind.ACCOUNT, record.account, record)
        for account in self._fleet.accounts.take_closed():
            self._journal.delete(DocumentKind.ACCOUNT, account)

    def _keep(self, record: DriverRecord) -> None:
        self._records[record.scope, record.subject] = record
        self._terms.store(record.scope, record.subject, record.terms)
        self._journal.put(DocumentKind.DRIVER, _key(record.scope, record.subject), record)

    def _account(self, scope: Scope, subject: str) -> AccountRecord | None:
        return self._fleet.accounts.get(account_of(scope, subject))

    def _view(self, scope: Scope, subject: str) -> DriverView:
        record = self._records.get((scope, subject))
        account = self._account(scope, subject) or AccountRecord(account="")
        return DriverView(
            scope=scope,
            subject=subject,
            label=record.label if record is not None else "",
            stored=record is not None,
            terms=self._terms.agreement(scope, subject) or PartialTerms(),
            changed_at_s=record.changed_at_s if record is not None else None,
            changed_by=record.changed_by if record is not None else "",
            counted_day=account.day,
            day_discharged_wh=account.day_wh,
            year_discharged_wh=account.year_wh,
            year_cycles=account.year_cycles,
        )


def _key(scope: Scope, subject: str) -> str:
    return f"{scope.value}:{subject}"
