"""How much energy was taken from whom, by the registers, and how much each session may still be asked under the caps.

Every cap that holds for a session becomes one reading of its export register: where it is used up. A session that shares an account
with others gets a part for itself, and nothing is given out twice, so a cap holds even if all sessions run on unseen (decisions 3).
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from math import inf, isnan, nan

from msgspec.structs import replace

from counterflow.domain.blackouts import day_of
from counterflow.domain.drivers import AccountRecord, EnergyCap, Scope
from counterflow.domain.ids import SessionUid
from counterflow.domain.units import DAY_S

OWN = "session:"
"""So the accounts of single sessions begin."""
FAIR_DAYS = 30
"""Over so many days it is reckoned who gave how much of what he could have given (control.md 2.5)."""
FAIR_SCOPES = (Scope.VEHICLE, Scope.DRIVER)
LATECOMERS = 8
"""So many sessions that have ended are still counted from where they were, for late meter values."""


class _Account:
    """One account: counters, and for each open session the part of what is left that is its own."""

    __slots__ = ("counted", "granted_wh", "record", "reserved_wh")

    def __init__(self, record: AccountRecord) -> None:
        self.record = record
        self.counted: dict[SessionUid, float] = dict(record.counted)
        self.granted_wh: dict[SessionUid, float] = {}
        self.reserved_wh = 0.0

    def grant(self, uid: SessionUid, energy_wh: float) -> None:
        """Give a session its part."""
        self.reserved_wh += energy_wh - self.granted_wh.get(uid, 0.0)
        self.granted_wh[uid] = energy_wh

    def release(self, uid: SessionUid) -> None:
        """The session needs nothing any more."""
        self.reserved_wh -= self.granted_wh.pop(uid, 0.0)
        if not self.granted_wh:
            self.reserved_wh = 0.0


class Accounts:
    """All accounts; written by the fleet state only."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._dirty: set[str] = set()
        self._closed: set[str] = set()

    def restore(self, records: Iterable[AccountRecord]) -> None:
        """Know the counters again after a start."""
        self._accounts = {record.account: _Account(record) for record in records}

    def get(self, account: str) -> AccountRecord | None:
        """The counters of an account as they were last rolled."""
        known = self._accounts.get(account)
        return None if known is None else _stored(known)

    def knows(self, account: str, uid: SessionUid) -> bool:
        """A reading of this session was booked on the account."""
        known = self._accounts.get(account)
        return known is not None and uid in known.counted

    def forget(self, account: str) -> bool:
        """Erase an account. Returns whether there was one."""
        if self._accounts.pop(account, None) is None:
            return False
        self._dirty.discard(account)
        self._closed.add(account)
        return True

    def expire(self, now_s: float, kept_days: int, is_open: Callable[[SessionUid], bool]) -> int:
        """Forget accounts that no cap can look back to any more: on which nothing was counted for `kept_days`, and those of sessions that
        are over. Returns how many. One that an open session draws on stays, whatever its age.

        A clock that runs ahead removes nothing: the newest account tells the day, too.
        """
        newest = max((account.record.day for account in self._accounts.values()), default="")
        before = min(day_of("UTC", now_s - kept_days * DAY_S), _days_earlier(newest, kept_days))
        old = [
            name
            for name, account in self._accounts.items()
            if (account.record.day < before or name.startswith(OWN)) and not any(is_open(uid) for uid in _sessions_of(name, account))
        ]
        for name in old:
            self.forget(name)
        return len(old)

    def take_changed(self) -> list[AccountRecord]:
        """Accounts to store: those that have changed since the last call."""
        changed = [_stored(self._accounts[name]) for name in sorted(self._dirty) if name in self._accounts]
        self._dirty.clear()
        return changed

    def take_closed(self) -> list[str]:
        """Accounts that are not needed any more: those of sessions that are over, and erased ones."""
        closed = sorted(self._closed)
        self._closed.clear()
        return closed

    def count(
        self,
        uid: SessionUid,
        caps: Iterable[EnergyCap],
        export_wh: float,
        at_s: float,
        *,
        capacity_wh: float,
        timezone: str,
        now_s: float,
    ) -> None:
        """Book what the register showed at `at_s` beyond the last reading that was booked; the first only says where it begins.

        Energy belongs to the local day and year of its reading. One that runs backwards without `shift` begins anew.
        """
        for cap in caps:
            account = self._account(cap.account)
            if not isnan(export_wh):
                self._roll(account, timezone, at_s)
                before_wh = account.counted.get(uid)
                if before_wh != export_wh:
                    account.counted[uid] = export_wh
                    self._dirty.add(cap.account)
                    if before_wh is not None and export_wh > before_wh:
                        _book(account, uid, export_wh - before_wh, capacity_wh)
            self._roll(account, timezone, now_s)

    def shift(self, uid: SessionUid, caps: Iterable[EnergyCap], step_wh: float) -> None:
        """The register was set back by `step_wh` (< 0): what it had shown until then is still to be booked."""
        for cap in caps:
            account = self._account(cap.account)
            if uid in account.counted:
                account.counted[uid] += step_wh
                self._dirty.add(cap.account)

    def limit_wh(self, uid: SessionUid, caps: tuple[EnergyCap, ...], export_wh: float, capacity_wh: float, ordered_wh: float) -> float:
        """The reading of the export register at which the first cap is used up; inf = no cap, NaN = it cannot be known.

        Call `count` first. `ordered_wh` is what an order in force may still take: a part is not made smaller than that while the
        cap allows it.
        """
        left_wh = inf
        for cap in caps:
            if cap.is_bound:
                left_wh = min(left_wh, nan if isnan(export_wh) else self._part_wh(uid, cap, capacity_wh, ordered_wh), key=_nan_first)
        return left_wh if left_wh == inf else export_wh + left_wh

    def leave(self, uid: SessionUid, caps: Iterable[EnergyCap]) -> None:
        """A session is over: its part is free, its last reading is kept for latecomers."""
        for cap in caps:
            account = self._accounts.get(cap.account)
            if account is None:
                continue
            account.release(uid)
            if cap.account == own_account(uid):
                self.forget(cap.account)
                continue
            if uid in account.counted:
                account.counted[uid] = account.counted.pop(uid)
            spare = len(account.counted) - len(account.granted_wh) - LATECOMERS
            for old in [known for known in account.counted if known not in account.granted_wh][: max(0, spare)]:
                del account.counted[old]
            self._dirty.add(cap.account)

    def offer(self, caps: Iterable[EnergyCap], energy_wh: float, *, timezone: str, now_s: float) -> None:
        """A session could have given `energy_wh` more while a dispatch held it; what it did give is counted by its register."""
        name = fair_account(caps)
        if name is None or not energy_wh > 0.0:
            return
        account = self._account(name)
        self._roll(account, timezone, now_s)
        account.record = replace(account.record, recent=_with_recent(account.record, 0.0, energy_wh))
        self._dirty.add(name)

    def given_share(self, caps: Iterable[EnergyCap]) -> float:
        """What share of what it offered in the last 30 days a car (or its driver) gave; NaN = nothing is known."""
        account = self._accounts.get(fair_account(caps) or "")
        return nan if account is None else account.record.given_share

    def jain_index(self) -> float | None:
        """How evenly cars and drivers have given of what they offered in the last 30 days: 1 = all the same share, 1/n = one gave all.
        None while nobody has offered anything."""
        shares = [share for account in self._accounts.values() if not isnan(share := account.record.given_share)]
        squares = sum(share * share for share in shares)
        return sum(shares) ** 2 / (len(shares) * squares) if squares > 0.0 else None

    def is_shared(self, caps: Iterable[EnergyCap]) -> bool:
        """Another open session draws on one of these caps."""
        return any(cap.is_bound and len(self._accounts[cap.account].granted_wh) > 1 for cap in caps if cap.account in self._accounts)

    def _part_wh(self, uid: SessionUid, cap: EnergyCap, capacity_wh: float, ordered_wh: float) -> float:
        account = self._account(cap.account)
        left_wh = _left_wh(account.record, cap, capacity_wh)
        if isnan(left_wh):
            account.release(uid)
            return nan
        own_wh = account.granted_wh.get(uid, 0.0)
        sharers = len(account.granted_wh) + (uid not in account.granted_wh)
        free_wh = max(0.0, left_wh - (account.reserved_wh - own_wh))
        part_wh = min(max(left_wh / sharers, min(own_wh, ordered_wh)), free_wh)
        account.grant(uid, part_wh)
        return part_wh

    def _account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(AccountRecord(account=name))
        return account

    def _roll(self, account: _Account, timezone: str, now_s: float) -> None:
        """A new day or year starts its counters; a day that lies behind (a clock that was set back) changes nothing."""
        today, day = day_of(timezone, now_s), account.record.day
        if today <= day:
            return
        same_year = today[:4] == day[:4]
        record = account.record
        account.record = AccountRecord(
            account=record.account,
            day=today,
            day_wh=0.0,
            year_wh=record.year_wh if same_year else 0.0,
            year_cycles=record.year_cycles if same_year else 0.0,
            total_wh=record.total_wh,
            recent={past: energies for past, energies in record.recent.items() if past > day_of(timezone, now_s - FAIR_DAYS * 86_400.0)},
        )
        self._dirty.add(record.account)


def fair_account(caps: Iterable[EnergyCap]) -> str | None:
    """On whose account it is reckoned whether much was asked: the vehicle's, or else the driver's; None for a session of nobody known."""
    names = [cap.account for cap in caps]
    return next((name for scope in FAIR_SCOPES for name in names if name.startswith(f"{scope.value}:")), None)


def own_account(uid: SessionUid) -> str:
    """The account of a session itself."""
    return f"{OWN}{uid}"


def _sessions_of(name: str, account: _Account) -> set[SessionUid]:
    """Who draws on an account, or did."""
    own = {SessionUid(int(name.removeprefix(OWN)))} if name.startswith(OWN) else set()
    return own | account.counted.keys() | account.granted_wh.keys()


def _days_earlier(day: str, days: int) -> str:
    """The day so many days before `day`; "" stays so."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat() if day else ""


def _book(account: _Account, uid: SessionUid, energy_wh: float, capacity_wh: float) -> None:
    record = account.record
    cycles = energy_wh / capacity_wh if capacity_wh > 0.0 else 0.0
    account.record = AccountRecord(
        account=record.account,
        day=record.day,
        day_wh=record.day_wh + energy_wh,
        year_wh=record.year_wh + energy_wh,
        year_cycles=record.year_cycles + cycles,
        total_wh=record.total_wh + energy_wh,
        recent=_with_recent(record, energy_wh, 0.0),
    )
    if uid in account.granted_wh:
        account.grant(uid, max(0.0, account.granted_wh[uid] - energy_wh))


def _with_recent(record: AccountRecord, given_wh: float, offered_wh: float) -> dict[str, tuple[float, float]]:
    given, offered = record.recent.get(record.day, (0.0, 0.0))
    return record.recent | {record.day: (given + given_wh, offered + offered_wh)}


def _left_wh(record: AccountRecord, cap: EnergyCap, capacity_wh: float) -> float:
    """What the caps of one account leave, at least 0; NaN where cycles are capped and the capacity is unknown."""
    left_wh = inf
    for limit_wh, used_wh in ((cap.total_wh, record.total_wh), (cap.day_wh, record.day_wh), (cap.year_wh, record.year_wh)):
        if limit_wh is not None:
            left_wh = min(left_wh, limit_wh - used_wh)
    if cap.year_cycles is not None:
        if isnan(capacity_wh):
            return nan
        left_wh = min(left_wh, (cap.year_cycles - record.year_cycles) * capacity_wh)
    return max(0.0, left_wh)


def _stored(account: _Account) -> AccountRecord:
    record = account.record
    return AccountRecord(
        account=record.account,
        day=record.day,
        day_wh=record.day_wh,
        year_wh=record.year_wh,
        year_cycles=record.year_cycles,
        total_wh=record.total_wh,
        recent=dict(record.recent),
        counted=dict(account.counted),
    )


def _nan_first(value: float) -> float:
    return -inf if isnan(value) else value
