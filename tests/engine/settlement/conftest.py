"""A metered world with a known truth, and small builders for logs and instructions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np
import pytest

from counterflow.domain.delivery import LogEntry, LogKind, Sample, Stored
from counterflow.domain.ids import ALL_SITES, DispatchId, SessionUid
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.engine.settlement.settings import SettlementSettings

START_S = 1_800_000_000.0


@dataclass
class World:
    """Builds a `Stored`; times are seconds from the start of the window."""

    duration_s: float = 600.0
    target_w: float = 7000.0
    mode: DispatchMode = DispatchMode.NET_EXPORT
    samples: list[Sample] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)
    state: DispatchState = DispatchState.COMPLETED
    resume_s: float | None = None

    def sample(self, uid: int, at: float, power_w: float = nan, export_wh: float = nan, import_wh: float = nan) -> None:
        self.samples.append(
            Sample(session_uid=SessionUid(uid), at_s=START_S + at, power_w=power_w, export_wh=export_wh, import_wh=import_wh, soc_frac=nan)
        )

    def entry(self, at: float, kind: str, uid: int = 0, **fields: object) -> None:
        named = {"station_id": f"CS{uid}", "transaction_id": f"T{uid}"} if uid else {}
        self.log.append(LogEntry(at_s=START_S + at, kind=kind, session_uid=SessionUid(uid), **named, **fields))  # type: ignore[arg-type] # per kind

    def join(self, *uids: int, at: float = -5.0) -> None:
        for uid in uids:
            self.entry(at, LogKind.JOINED, uid)

    def steady(
        self, uid: int, discharge_w: float, ats: Sequence[float], *, export_wh: float = 1000.0, import_wh: float | None = 500.0
    ) -> None:
        """Constant discharge before, in and after the window, with exact registers."""
        for at in ats:
            moved = discharge_w * (at - ats[0]) / 3600.0
            self.sample(uid, at, -discharge_w, export_wh + max(moved, 0.0), nan if import_wh is None else import_wh - min(moved, 0.0))

    def stored(self) -> Stored:
        steps = self.steps or [(0.0, self.target_w)]
        instruction = DispatchInstruction(
            dispatch_id=DispatchId("D1"),
            start_s=START_S,
            end_s=START_S + self.duration_s,
            steps=tuple(TargetStep(from_s=START_S + at, discharge_power_w=power) for at, power in steps),
            pool=ALL_SITES,
            policy=AllocationPolicy.HYBRID,
            mode=self.mode,
            priority=0,
            accepted_at_s=START_S - 10.0,
            state=self.state,
            resume_from_s=None if self.resume_s is None else START_S + self.resume_s,
        )
        return Stored(instruction=instruction, log=tuple(self.log), samples=tuple(self.samples))


@dataclass
class Truth:
    """A seeded fleet with delays, ramps, noise and asynchronous meters; `net_wh` is what it really delivered."""

    stored: Stored
    net_wh: float
    session_wh: dict[int, float]


def fleet(
    seed: int, *, cars: int, duration_s: float, interval_s: float, aligned: bool, resolution_wh: float = 1.0, margin_s: float = 400.0
) -> Truth:
    rng = np.random.default_rng(seed)
    world = World(duration_s=duration_s, target_w=7000.0 * cars)
    fine_s = np.arange(-margin_s, duration_s + margin_s, 0.1)
    first, last = np.searchsorted(fine_s, [-1e-6, duration_s - 1e-6])
    session_wh: dict[int, float] = {}
    for uid in range(1, cars + 1):
        wanted = -7000.0 * rng.uniform(0.5, 1.5)
        before = float(rng.choice([0.0, 0.0, 5000.0]))
        ramp = rng.uniform(500.0, 5000.0)
        knots = [-1e6, rng.uniform(2, 10), 0.0, duration_s + rng.uniform(2, 10), 0.0, 1e6]
        knots[2] = knots[1] + abs(wanted - before) / ramp
        knots[4] = knots[3] + abs(wanted - before) / ramp
        power = np.interp(fine_s, knots, [before, before, wanted, wanted, before, before])
        out = np.concatenate(([0.0], np.cumsum(np.maximum(-power, 0.0))))[:-1] * 0.1 / 3600.0 + rng.uniform(0, 1e5)
        into = np.concatenate(([0.0], np.cumsum(np.maximum(power, 0.0))))[:-1] * 0.1 / 3600.0 + rng.uniform(0, 1e5)
        session_wh[uid] = float(out[last] - out[first] - (into[last] - into[first]))
        phase = 0.0 if aligned else rng.uniform(0, interval_s)
        ats = np.arange(-np.floor(margin_s / interval_s) * interval_s + interval_s + phase, duration_s + margin_s - interval_s, interval_s)
        where = np.searchsorted(fine_s, ats - 1e-6)
        noisy = power[where] * (1 + rng.normal(0, 0.005, len(where))) + rng.normal(0, 30, len(where))
        for at, watts, x, m in zip(ats, noisy, out[where], into[where], strict=True):
            world.sample(uid, float(at), float(watts), float(x // resolution_wh * resolution_wh), float(m // resolution_wh * resolution_wh))
        world.join(uid)
        world.entry(0.0, LogKind.SETPOINT, uid, power_w=wanted)
    return Truth(world.stored(), sum(session_wh.values()), session_wh)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture(scope="session")
def make_fleet() -> Callable[..., Truth]:
    return fleet


@pytest.fixture(scope="session")
def start_s() -> float:
    return START_S


@pytest.fixture(scope="session")
def settings() -> SettlementSettings:
    return SettlementSettings()
