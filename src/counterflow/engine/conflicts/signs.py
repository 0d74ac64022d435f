"""Does a station's meter agree with itself? Power, registers and state of charge against each other.

A meter that is wired or mapped the wrong way round turns every figure of ours upside down: a car that charges would count as delivery,
or one that discharges would be driven further. So the readings of a session are laid against its registers, step by step, until they
prove one or the other: agreement only while a car discharges for us, contradiction at any time. Never on a single reading: it takes
`MIN_STEPS` steps that say so, and `MIN_ENERGY_WH` in them. A register that stands still, or jumps, proves nothing.
"""

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.fleet.snapshot import F8, I8, FleetImage

MIN_STEPS = 4
MIN_ENERGY_WH = 60.0
MIN_MEAN_W = 500.0
"""Below this mean power a meter's own error could pass for a direction."""
LONGEST_STEP_S = 120.0
"""Readings further apart than this are not joined: too much may have happened in between."""
AGREES = 0.5
"""A register step of at least this share of what the power readings show agrees with them."""
OPPOSES = 0.3
"""A register step of this share of it, the other way round, contradicts them."""
OUTWEIGHS = 2.0
"""So many times as many steps must speak for a verdict as against it."""
JUMP, JUMP_WH = 4.0, 20.0
"""A register that moves by more than this multiple of what the power readings show, and this much, has jumped."""
SOC_FELL, SOC_ROSE = 0.01, 0.02
"""State of charge comes in steps of 0.01 and is a little noisy: one step down confirms, two up contradict."""


class Sign(IntEnum):
    """What the readings of a session prove."""

    PROVED = 1
    POWER_OPPOSES_REGISTERS = 2
    RISING_CHARGE = 3


SIGN_WORDS: dict[Sign, str] = {
    Sign.POWER_OPPOSES_REGISTERS: "power and energy registers of its meter run in opposite directions",
    Sign.RISING_CHARGE: "its meter shows a discharge while the car's state of charge rises",
}


class _Sums:
    """One array a figure, a cell a row of the image."""

    __slots__ = ("agree", "agree_wh", "done", "last_s", "last_w", "last_wh", "oppose", "oppose_wh", "soc", "uid")

    def __init__(self, rows: int) -> None:
        self.uid = np.zeros(rows, dtype=np.int64)
        self.done = np.zeros(rows, dtype=np.bool_)
        self.agree = np.zeros(rows)
        """Steps in which registers agree with a discharge, and the energy in them."""
        self.agree_wh = np.zeros(rows)
        self.oppose = np.zeros(rows)
        """Steps in which registers contradict the power readings, and the energy in them."""
        self.oppose_wh = np.zeros(rows)
        self.soc: F8 = np.full(rows, np.nan)
        """State of charge at the first step that agreed."""
        self.last_s: F8 = np.full(rows, np.nan)
        self.last_w: F8 = np.full(rows, np.nan)
        self.last_wh: F8 = np.full(rows, np.nan)

    def begin(self, rows: I8, uids: I8, done: list[bool]) -> None:
        """Other sessions have taken these rows."""
        self.uid[rows], self.done[rows] = uids, done
        for name in ("agree", "agree_wh", "oppose", "oppose_wh"):
            getattr(self, name)[rows] = 0.0
        for name in ("soc", "last_s", "last_w", "last_wh"):
            getattr(self, name)[rows] = np.nan

    def widened(self, rows: int) -> "_Sums":
        """The same with more rows."""
        wider = _Sums(rows)
        for name in self.__slots__:
            getattr(wider, name)[: len(self.uid)] = getattr(self, name)
        return wider


class SignWatch:
    """Counts the steps of each session until they prove something. Rows are those of the image."""

    def __init__(self) -> None:
        self._sums = _Sums(0)

    def step(self, image: FleetImage, is_proved: Callable[[int], bool]) -> list[tuple[int, Sign]]:
        """Take in an image; returns the rows whose readings have now proved something. `is_proved(row)` = nothing needs proof there."""
        if len(image) > len(self._sums.uid):
            self._sums = self._sums.widened(len(image))
        sums = self._sums
        new = np.flatnonzero(image.occupied & (sums.uid != image.uid))
        if new.size:
            sums.begin(new, image.uid[new], [is_proved(row) for row in new.tolist()])
        watched = image.occupied & ~sums.done & ~np.isnan(image.power_w)
        net_wh = image.export_wh - image.import_wh
        step_s = image.power_at_s - sums.last_s
        news = watched & ~(step_s <= 0.0)
        if not news.any():
            return []
        power_wh = -0.5 * (image.power_w + sums.last_w) * step_s / 3600.0
        along_wh = (net_wh - sums.last_wh) * np.sign(power_wh)
        size_wh = np.abs(power_wh)
        tells = news & (step_s <= LONGEST_STEP_S) & (size_wh * 3600.0 >= MIN_MEAN_W * step_s)
        tells &= np.abs(along_wh) <= JUMP * size_wh + JUMP_WH  # an unknown register compares as false
        runs = (image.setpoint_state == SetpointState.ACCEPTED) & (image.setpoint_w < 0.0)
        agrees = tells & runs & (power_wh > 0.0) & (along_wh >= AGREES * size_wh)
        opposes = tells & (along_wh <= -OPPOSES * size_wh)
        sums.agree += agrees
        sums.agree_wh[agrees] += size_wh[agrees]
        sums.oppose += opposes
        sums.oppose_wh[opposes] += size_wh[opposes]
        begins = agrees & np.isnan(sums.soc)
        sums.soc[begins] = image.soc_frac[begins]
        sums.last_s[news], sums.last_w[news], sums.last_wh[news] = image.power_at_s[news], image.power_w[news], net_wh[news]
        return self._decide(image, tells)

    def forget(self, uids: set[int]) -> None:
        """Watch these sessions anew."""
        self._sums.uid[np.isin(self._sums.uid, sorted(uids))] = 0

    def _decide(self, image: FleetImage, moved: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, Sign]]:
        sums = self._sums
        enough = moved & (sums.agree >= MIN_STEPS) & (sums.agree_wh >= MIN_ENERGY_WH) & (sums.agree >= OUTWEIGHS * sums.oppose)
        change = image.soc_frac - sums.soc
        verdict = np.zeros(len(image), dtype=np.int8)
        verdict[enough & ~(change > -SOC_FELL)] = Sign.PROVED  # a state of charge that nobody tells cannot confirm more
        verdict[enough & (change >= SOC_ROSE)] = Sign.RISING_CHARGE
        against = moved & (sums.oppose >= MIN_STEPS) & (sums.oppose_wh >= MIN_ENERGY_WH) & (sums.oppose >= OUTWEIGHS * sums.agree)
        verdict[against] = Sign.POWER_OPPOSES_REGISTERS
        decided = np.flatnonzero(verdict).tolist()
        sums.done[decided] = True
        return [(row, Sign(int(verdict[row]))) for row in decided]
