"""What each car may be asked: energy, power and time, and the reason when it may be asked nothing (control 1.1 to 1.4).

Pure and vectorised: one image in, arrays (N,) out.
"""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.reasons import Reason
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.eligibility import (
    first_reasons,
    interval_s,
    is_reducible,
    reduction_reasons,
    silent_sessions,
    station_reasons,
)
from counterflow.engine.fleet.joint import jointly
from counterflow.engine.fleet.promise import Promise
from counterflow.engine.fleet.reckoning import Reckoning, recharge_per_s, recharge_s, reckon
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, I1, FleetImage
from counterflow.engine.fleet.topology import Topology

__all__ = ["Capability", "CapabilitySettings", "capability"]


LEAST_DRAW_W = 500.0
"""A car that draws less has nothing to be slowed or paused of."""


class Capability(Struct, frozen=True, kw_only=True):
    """What each session can give. Powers are magnitudes of discharge in W, 0 unless the reason is READY. Each (N,)."""

    at_s: float
    """The instant that it speaks of."""
    soc_frac: F8
    """Reckoned state of charge; NaN = unknown."""
    energy_wh: F8
    """AC-side energy that can be delivered down to floor and buffer, and within the driver's caps, >= 0; NaN = unknown. At part load the
    standing loss takes of it (`reckoning.drawn_w`), which endurance and sustained power reckon with."""
    open_s: F8
    """Time until the driver's next blackout, >= 0; inf = there is none."""
    buffer_frac: F8
    """What is kept above the floor for errors of measurement and for latency."""
    laxity_s: F8
    """Time to departure less recharging time less margin; NaN = unknown."""
    guard_s: F8
    """Laxity that may be lost before our next message takes effect."""
    recharge_s: F8
    """Charging time from here to the departure energy; NaN = unknown."""
    max_power_w: F8
    """What can be asked at once: the least of car, EVSE and local limits."""
    min_power_w: F8
    """Below this the car cannot discharge; 0 = not told."""
    together_s: F8
    """How long it may go on, or be held, when all cars behind its connections do, so that all can still charge in time; inf = for the
    whole window."""
    must_charge: B1
    """Laxity is used up (with hysteresis: hand this mask in again at the next call)."""
    silent: B1
    """No live power value for too long, or never."""
    reason: I1
    """`Reason` codes."""
    pause_s: F8
    """How long the car's charging may be slowed or paused from now on, >= 0."""
    reduction: I1
    """`Reason` codes for charge reduction: READY = a car that is not discharged may be slowed or paused."""
    reckoned: Reckoning
    """Where the car stands; endurance is worked out from it."""
    promise: Promise
    """What it can hold, and by when it must have given all."""

    @property
    def sustained_power_w(self) -> F8:
        """What can be held until the window's end; 0 when that is below the minimum. Worked out when somebody asks."""
        return self.promise.sustained_power_w

    @property
    def useful_until_s(self) -> F8:
        """Latest end of discharge: when all that can be given is given by then, the car still makes its departure. Worked out when
        somebody asks."""
        return self.promise.useful_until_s

    def reason_in(self, mode: DispatchMode) -> I1:
        """Why each row can or cannot take part in an order of this mode (N,): in RELATIVE less charging is delivery, too."""
        if mode is not DispatchMode.RELATIVE:
            return self.reason
        return np.where(is_reducible(self.reason), self.reduction, self.reason)

    def without_reduction(self) -> "Capability":
        """The same where nobody takes part by charging less: a band that stations follow by curves of their own has no use for it."""
        return replace(self, reduction=np.full(len(self.reason), Reason.NO_CHARGING_CONTROL, dtype=np.int8))

    def without(self, rows: B1, reason: Reason) -> "Capability":
        """The same where `rows` (N,) cannot be discharged, for a reason."""
        out = rows if self.promise.out is None else self.promise.out | rows
        return replace(
            self,
            reason=np.where(rows, np.int8(reason), self.reason),
            max_power_w=np.where(rows, 0.0, self.max_power_w),
            promise=replace(self.promise, out=out),
        )

    def reduces(self, mode: DispatchMode) -> B1:
        """Rows that can take part by charge reduction alone, (N,)."""
        if mode is not DispatchMode.RELATIVE:
            return np.zeros(len(self.reason), dtype=np.bool_)
        return is_reducible(self.reason) & np.equal(self.reduction, Reason.READY)


def capability(
    image: FleetImage,
    now_s: float,
    window_end_s: float,
    settings: CapabilitySettings,
    *,
    emergency_stop: bool = False,
    must_charge_before: B1 | None = None,
    topology: Topology | None = None,
) -> Capability:
    """What every session can give between `now_s` and `window_end_s`. With a `topology` the cars behind one import limit are also held
    against it together.

    `must_charge_before` is `Capability.must_charge` of the call before, by row; rows beyond its end count as free of it.
    """
    before = np.zeros(len(image), dtype=np.bool_)
    if must_charge_before is not None:
        known = min(len(image), len(must_charge_before))
        before[:known] = must_charge_before[:known]
    reckoned = reckon(image, now_s, settings)
    lag_s = interval_s(image, settings) + settings.command_latency_s
    rated_w = np.where(np.isnan(image.max_discharge_w), 0.0, image.max_discharge_w)
    lag_wh = rated_w * lag_s * WH_PER_WS
    buffer_frac = _buffer_frac(image, reckoned, lag_wh / settings.eta_discharge, settings)
    battery_wh = _above_floor_wh(image, reckoned, buffer_frac, lag_wh / settings.eta_discharge)
    above_floor_wh = settings.eta_discharge * np.maximum(battery_wh, 0.0)
    cap_wh = _cap_wh(reckoned, lag_wh)
    energy_wh = np.minimum(above_floor_wh, cap_wh)
    open_s = _open_s(image, now_s, settings)
    charging_s = recharge_s(reckoned, settings)
    laxity_s = image.departure_s - now_s - charging_s - settings.laxity_margin_s
    guard_s = lag_s * (1.0 + recharge_per_s(reckoned, rated_w, settings))
    wanted_s = np.where(before, guard_s + settings.laxity_hysteresis_s, guard_s)
    must_charge = ~(laxity_s > wanted_s) & image.occupied
    ceiling_w = np.where(
        np.isnan(image.external_discharge_w), image.max_discharge_w, np.minimum(image.max_discharge_w, image.external_discharge_w)
    )
    min_power_w = np.where(np.isnan(image.min_discharge_w), 0.0, image.min_discharge_w)
    smallest_w = np.where(min_power_w > 0.0, min_power_w, ceiling_w)
    silent = silent_sessions(image, now_s, settings)
    least_wh = smallest_w * settings.min_run_s * WH_PER_WS
    reasons = station_reasons(image, silent, emergency_stop) | {
        Reason.BLACKOUT: open_s <= 0.0,
        Reason.SOC_UNKNOWN: np.isnan(above_floor_wh) | np.isnan(reckoned.goal_frac),
        Reason.POWER_UNKNOWN: np.isnan(ceiling_w) | np.isnan(reckoned.full_charge_s),
        Reason.BELOW_FLOOR: above_floor_wh <= 0.0,
        Reason.DISCHARGE_CAP: (cap_wh <= 0.0) | (cap_wh < least_wh),
        Reason.MUST_CHARGE: must_charge,
        Reason.BELOW_MIN_POWER: (ceiling_w <= 0.0) | (ceiling_w < min_power_w) | (above_floor_wh < least_wh),
        Reason.GUARDED: image.guarded,
        Reason.COOLING_DOWN: image.excluded_until_s > now_s,
    }
    reason = first_reasons(reasons, len(image))
    pause_s = np.zeros(len(image))
    reduction = np.where(image.occupied, np.int8(Reason.NO_PAUSE_CONSENT), np.int8(Reason.NO_SESSION))
    if image.pausing.any():
        idle_laxity_s = _idle_laxity_s(image, reckoned, charging_s, now_s, settings)
        pause_s = _pause_s(image, idle_laxity_s, guard_s, lag_s, now_s)
        reduction = _reduction(image, pause_s, idle_laxity_s, guard_s, silent, now_s, settings, emergency_stop=emergency_stop)
    max_power_w = np.where(reason == Reason.READY, ceiling_w, 0.0)
    able = Capability(
        at_s=now_s,
        soc_frac=reckoned.soc_frac,
        energy_wh=energy_wh,
        open_s=open_s,
        buffer_frac=buffer_frac,
        laxity_s=laxity_s,
        guard_s=guard_s,
        recharge_s=charging_s,
        max_power_w=max_power_w,
        min_power_w=min_power_w,
        together_s=np.full(len(image), np.inf),
        must_charge=must_charge,
        silent=silent,
        reason=reason,
        pause_s=pause_s,
        reduction=reduction,
        reckoned=reckoned,
        promise=Promise(
            at_s=now_s,
            window_end_s=window_end_s,
            settings=settings,
            reckoned=reckoned,
            energy_wh=energy_wh,
            open_s=open_s,
            laxity_s=laxity_s,
            guard_s=guard_s,
            recharge_s=charging_s,
            max_power_w=max_power_w,
            min_power_w=min_power_w,
            capped_s=image.external_ahead_s,
            capped_w=image.external_ahead_w,
        ),
    )
    return able if topology is None or not topology.limits_import else _together(image, able, topology, settings, before, window_end_s)


def _together(
    image: FleetImage, able: Capability, topology: Topology, settings: CapabilitySettings, before: B1, window_end_s: float
) -> Capability:
    """The same, with what import limits leave of it (control 1.5)."""
    joint = jointly(
        image,
        topology,
        able.reckoned,
        settings,
        laxity_s=able.laxity_s,
        guard_s=able.guard_s,
        power_w=able.max_power_w,
        sustained_w=lambda: able.sustained_power_w,
        pauses=np.equal(able.reduction, Reason.READY) & is_reducible(able.reason),
        before=before,
        window_s=max(0.0, window_end_s - able.at_s),
    )
    if joint is None:
        return able
    return replace(
        able,
        max_power_w=np.where(joint.blocked, 0.0, able.max_power_w),
        promise=replace(able.promise, joint=joint),
        together_s=joint.run_s,
        must_charge=able.must_charge | joint.blocked,
        reason=np.where(joint.blocked & (able.reason == Reason.READY), np.int8(Reason.MUST_CHARGE_TOGETHER), able.reason),
        pause_s=np.where(joint.blocked, 0.0, np.minimum(able.pause_s, joint.run_s)),
        reduction=np.where(joint.blocked, np.int8(Reason.MUST_CHARGE_TOGETHER), able.reduction),
    )


def _idle_laxity_s(image: FleetImage, reckoned: Reckoning, charging_s: F8, now_s: float, settings: CapabilitySettings) -> F8:
    """Time to departure less margin and charging time, that of a car which will charge no faster than it does, or did, (N,); NaN =
    unknown. Cars that only charge tell little of themselves, and their posts may be slower than they are."""
    rate_w = np.where(_is_held(image, now_s), image.drew_w, image.power_w)
    rate_w = np.where(rate_w >= LEAST_DRAW_W, rate_w, np.nan)
    as_seen_s = np.maximum(reckoned.need_wh, 0.0) / (settings.eta_charge * rate_w * WH_PER_WS)
    needed_s = np.where(np.isnan(as_seen_s), np.nan, np.fmax(charging_s, as_seen_s))
    laxity_s: F8 = image.departure_s - now_s - needed_s - settings.laxity_margin_s
    return laxity_s


def _is_held(image: FleetImage, now_s: float) -> B1:
    """Rows that an order of ours slows or pauses now, (N,)."""
    return image.reduced & (now_s < image.hold_until_s)


def _pause_s(image: FleetImage, laxity_s: F8, guard_s: F8, lag_s: F8, now_s: float) -> F8:
    """Until the laxity is down to its guard, or the driver's own bound is reached; one that is not known does not count, (N,)."""
    on_s = np.where(np.isnan(image.pause_from_s), 0.0, np.maximum(np.fmin(now_s, image.hold_until_s) - image.pause_from_s, 0.0))
    left_s = image.pause_left_s - on_s - lag_s
    pause_s = np.fmin(laxity_s - guard_s, left_s)
    return np.where(np.isposinf(pause_s), 0.0, np.maximum(pause_s, 0.0))


def _reduction(
    image: FleetImage,
    pause_s: F8,
    laxity_s: F8,
    guard_s: F8,
    silent: B1,
    now_s: float,
    settings: CapabilitySettings,
    *,
    emergency_stop: bool,
) -> I1:
    unknown = np.isnan(laxity_s)
    # A car that begins to pause has time to spare; one that is paused may use it up.
    wanted_s = guard_s + np.where(_is_held(image, now_s), 0.0, settings.laxity_hysteresis_s)
    reasons = reduction_reasons(image, silent, emergency_stop) | {
        Reason.MUST_CHARGE: laxity_s <= wanted_s,
        Reason.NEED_UNKNOWN: unknown & np.isposinf(image.pause_left_s),
        Reason.PAUSED_ENOUGH: pause_s <= 0.0,
        Reason.COOLING_DOWN: image.excluded_until_s > now_s,
    }
    return first_reasons(reasons, len(image))


def _cap_wh(reckoned: Reckoning, lag_wh: F8) -> F8:
    """What the driver's caps allow, less what may flow before a change takes hold; 0 where it cannot be counted, (N,)."""
    free = np.isposinf(reckoned.cap_left_wh)
    if free.all():
        return reckoned.cap_left_wh
    return np.where(free, np.inf, np.fmax(reckoned.cap_left_wh - lag_wh, 0.0))


def _open_s(image: FleetImage, now_s: float, settings: CapabilitySettings) -> F8:
    """Time that a discharge may still take until the blackout, latency taken off, (N,)."""
    closes = image.blackout_until_s > now_s
    if not closes.any():
        return np.full(len(image), np.inf)
    return np.where(closes, np.maximum(image.blackout_from_s - now_s - settings.command_latency_s, 0.0), np.inf)


def _buffer_frac(image: FleetImage, reckoned: Reckoning, lag_wh: F8, settings: CapabilitySettings) -> F8:
    """`k*sigma + q/2 + P_max*(T_report + T_latency)/(eta_d*C)`; without a capacity only the error of the report (control 1.2)."""
    drift = settings.sigma_eta * reckoned.moved_wh / image.capacity_wh
    sigma = np.sqrt(settings.sigma_bms**2 + settings.soc_resolution**2 / 12.0 + np.fmax(drift, 0.0) ** 2)
    lag_frac = np.fmax(lag_wh / image.capacity_wh, 0.0)
    buffer: F8 = settings.k_sigma * sigma + 0.5 * settings.soc_resolution + lag_frac
    return buffer


def _above_floor_wh(image: FleetImage, reckoned: Reckoning, buffer_frac: F8, lag_wh: F8) -> F8:
    """Battery-side energy above floor and buffer, the smaller of the two ways to know it; may be negative; NaN = unknown."""
    above_frac = reckoned.soc_frac - image.soc_floor_frac - buffer_frac
    above_wh = np.fmin(image.capacity_wh * above_frac, reckoned.v2x_above_wh - lag_wh)
    # A state of charge at the floor counts even where no capacity says how much energy that is.
    return np.where(above_frac <= 0.0, np.fmin(above_wh, 0.0), above_wh)
