"""What cars would draw if nobody touched them: each goes on from the state in which it was found, slower as it fills, up to its target.

The plan is frozen with that state, and its power at any instant follows from it in closed form: on the charging curve (full power up to a
knee, then falling in a line, never below a least share) time is an increasing function of the state of charge, which has an inverse.
"""

from collections.abc import Sequence
from math import isnan
from typing import Annotated, Final, Self

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.domain.ids import SessionUid
from counterflow.domain.settlement import CarState
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.snapshot import B1, F8, I8, FleetImage

CHARGES_FROM_W: Final = 100.0
"""Below this a car stands by."""


class ChargingTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a car is taken to charge when its charging is simulated forward."""

    charge_efficiency: Annotated[
        float,
        Meta(description="Forward simulation: energy into the battery over energy from the grid.", extra={"unit": "0..1"}, gt=0, le=1),
    ] = 0.92
    taper_from_frac: Annotated[
        float,
        Meta(description="Forward simulation: above this state of charge a car charges ever slower.", extra={"unit": "0..1"}, ge=0, le=1),
    ] = 0.8
    taper_slope: Annotated[
        float,
        Meta(
            description="Forward simulation: share of its full rate that a car loses for each 100 % of charge above.",
            extra={"unit": "-"},
            ge=0,
        ),
    ] = 3.75
    taper_least: Annotated[
        float, Meta(description="Forward simulation: no slower than this share of its full rate.", extra={"unit": "0..1"}, gt=0, le=1)
    ] = 0.1


class Undisturbed(Struct, frozen=True, kw_only=True):
    """Plans of cars, arrays (N,): the session that each belongs to (0 = there is none), its state when it was found, and when that was
    (epoch seconds).

    `power_w` is what it drew, import positive. Where state of charge, capacity or target are NaN it goes on at that.
    """

    uid: I8
    at_s: F8
    power_w: F8
    soc_frac: F8
    capacity_wh: F8
    max_charge_w: F8
    target_frac: F8

    @classmethod
    def none(cls, rows: int) -> Self:
        """Nobody has a plan."""
        nothing = {name: np.full(rows, np.nan) for name in cls.__struct_fields__[2:]}
        return cls(uid=np.zeros(rows, dtype=np.int64), at_s=np.full(rows, -np.inf), **nothing)

    @classmethod
    def found(cls, image: FleetImage, terms: ChargingTerms) -> Self:
        """The plan of every row from its state in the image; what came in since its state of charge was told is added. One that an order
        of ours slows or pauses goes on at what it drew before."""
        since_wh = np.fmax(image.import_wh - image.soc_import_wh, 0.0)
        gained = terms.charge_efficiency * since_wh / np.where(image.capacity_wh > 0.0, image.capacity_wh, np.inf)
        slowed = image.reduced & (image.at_s < image.hold_until_s) & ~np.isnan(image.drew_w)
        return cls(
            uid=image.uid.copy(),
            at_s=np.full(len(image), image.at_s),
            power_w=np.where(slowed, image.drew_w, image.power_w),
            soc_frac=np.minimum(image.soc_frac + gained, 1.0),
            capacity_wh=image.capacity_wh.copy(),
            max_charge_w=image.max_charge_w.copy(),
            target_frac=image.soc_target_frac.copy(),
        )

    @classmethod
    def of(cls, states: Sequence[CarState | None], at_s: F8, uids: Sequence[SessionUid] | None = None) -> Self:
        """From states that were written down; None = nothing is known of the car but that it drew nothing. `uids` = whose they are."""
        rows = [(None,) * len(CarState.__struct_fields__) if state is None else _values(state) for state in states]
        table = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
        power_w, soc_frac, capacity_wh, max_charge_w, target_frac = np.ascontiguousarray(table.reshape(len(rows), 5).T)
        return cls(
            uid=np.zeros(len(rows), dtype=np.int64) if uids is None else np.array(uids, dtype=np.int64),
            at_s=at_s,
            power_w=power_w,
            soc_frac=soc_frac,
            capacity_wh=capacity_wh,
            max_charge_w=max_charge_w,
            target_frac=target_frac,
        )

    def states(self) -> list[CarState]:
        """The states that the plans were frozen with, to be written down."""
        columns = (self.power_w, self.soc_frac, self.capacity_wh, self.max_charge_w, self.target_frac)
        known = [[None if isnan(value) else value for value in column.tolist()] for column in columns]
        return [CarState(*values) for values in zip(*known, strict=True)]

    def rows(self, rows: I8) -> Self:
        """The plans of these rows only."""
        return type(self)(**{name: getattr(self, name)[rows] for name in self.__struct_fields__})

    def laid_on(self, uid: I8) -> Self:
        """The same plans in the rows of the sessions `uid` (N,); rows of others have none."""
        if len(self.uid) == 0:
            return type(self).none(len(uid))
        order = np.argsort(self.uid)
        found = order[np.minimum(np.searchsorted(self.uid, uid, sorter=order), len(order) - 1)]
        return self.rows(found).where((self.uid[found] == uid) & (uid != 0), type(self).none(len(uid)))

    def as_of(self, at_s: float, terms: ChargingTerms) -> Self:
        """The same plans, as states of `at_s`: they go on as they would have."""
        return replace(self, at_s=np.full(len(self.at_s), at_s), power_w=self.power_at(at_s, terms), soc_frac=self.soc_at(at_s, terms))

    def where(self, rows: B1, other: Self) -> Self:
        """These plans, but those of `other` where `rows` (N,) is false."""
        return type(self)(**{name: np.where(rows, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__})

    def sized(self, rows: int) -> Self:
        """The same plans in `rows` rows; new ones have none."""
        missing = rows - len(self.at_s)
        if missing == 0:
            return self
        more = type(self).none(missing)
        return type(self)(**{name: np.concatenate([getattr(self, name), getattr(more, name)]) for name in self.__struct_fields__})

    @property
    def drew_w(self) -> F8:
        """What each drew when it was found, W >= 0 (N,); one that stood by, or of which no power was known, nothing."""
        return np.where(self.power_w >= CHARGES_FROM_W, self.power_w, 0.0)

    def soc_at(self, at_s: float | F8, terms: ChargingTerms) -> F8:
        """The state of charge that each would have come to at `at_s`, no further than its target (N,); NaN where it cannot be told."""
        hours = np.maximum(at_s - np.where(np.isfinite(self.at_s), self.at_s, at_s), 0.0) * WH_PER_WS
        share_per_h = terms.charge_efficiency * self._full_w(terms) / np.where(self.capacity_wh > 0.0, self.capacity_wh, np.nan)
        soc = _unstretched(_stretched(self.soc_frac, terms) + share_per_h * hours, terms)
        return np.maximum(np.minimum(soc, self._target), self.soc_frac)

    def power_at(self, at_s: float, terms: ChargingTerms) -> F8:
        """What each would draw at `at_s`, W >= 0 (N,)."""
        soc = self.soc_at(at_s, terms)
        power_w = np.where(soc < self._target, self._full_w(terms) * _taper(soc, terms), 0.0)
        return np.where(np.isnan(soc), self.drew_w, power_w)

    def mean_w(self, from_s: F8, until_s: F8, terms: ChargingTerms) -> F8:
        """What each would draw on average between two instants, W >= 0 (N,): its energy over the time."""
        hours = (until_s - from_s) * WH_PER_WS
        stored_wh = (self.soc_at(until_s, terms) - self.soc_at(from_s, terms)) * self.capacity_wh
        return np.where(np.isnan(stored_wh), self.drew_w, stored_wh / (terms.charge_efficiency * hours))

    @property
    def _target(self) -> F8:
        return np.where(np.isnan(self.target_frac), 1.0, self.target_frac)

    def _full_w(self, terms: ChargingTerms) -> F8:
        """What each would draw below the knee: what it drew may have been tapered already."""
        drew_w = self.drew_w
        full_w = drew_w / np.where(np.isnan(self.soc_frac), 1.0, _taper(self.soc_frac, terms))
        return np.where(self.max_charge_w > 0.0, np.fmin(full_w, np.fmax(self.max_charge_w, drew_w)), full_w)


def _values(state: CarState) -> tuple[float | None, ...]:
    return (state.power_w, state.soc_frac, state.capacity_wh, state.max_charge_w, state.target_soc_frac)


def _taper(soc: F8, terms: ChargingTerms) -> F8:
    """Share of its full rate at which a car charges at a state of charge (N,)."""
    share: F8 = np.clip(1.0 - terms.taper_slope * (soc - terms.taper_from_frac), terms.taper_least, 1.0)
    return share


def _knees(terms: ChargingTerms) -> tuple[float, float, float]:
    """Where a car begins to charge slower, where it is at its slowest, and the stretched scale there."""
    knee = terms.taper_from_frac
    if terms.taper_slope <= 0.0:
        return knee, np.inf, np.inf
    return knee, knee + (1.0 - terms.taper_least) / terms.taper_slope, knee - float(np.log(terms.taper_least)) / terms.taper_slope


def _stretched(soc: F8, terms: ChargingTerms) -> F8:
    """The integral of 1 / taper (N,): time to charge is a difference of it."""
    knee, slowest, there = _knees(terms)
    if np.isinf(slowest):
        return soc
    bent = knee - np.log(_taper(soc, terms)) / terms.taper_slope
    return np.where(soc <= knee, soc, np.where(soc <= slowest, bent, there + (soc - slowest) / terms.taper_least))


def _unstretched(value: F8, terms: ChargingTerms) -> F8:
    """The state of charge at which `_stretched` takes a value (N,)."""
    knee, slowest, there = _knees(terms)
    if np.isinf(slowest):
        return value
    bent = knee + (1.0 - np.exp(-terms.taper_slope * (np.clip(value, knee, there) - knee))) / terms.taper_slope
    return np.where(value <= knee, value, np.where(value <= there, bent, slowest + (value - there) * terms.taper_least))
