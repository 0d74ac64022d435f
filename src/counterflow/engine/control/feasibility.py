"""What a pool can give over a window, told when an order is accepted: an expected and a low value, and what is committed.

Only a share of the learned capability is committed; the rest stands by as idle reserve cars (control.md 3: nameplate is not capability, so
the share applies to gain times sustained power). The order, or the settings, say how large it is, or which loss of cars it must bear.
"""

from math import exp, sqrt
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from counterflow.domain.instructions import NOTICEABLE_FRAC, DispatchMode, Feasibility, Headroom
from counterflow.domain.reasons import Reason
from counterflow.engine.control.grid import export_limits, overrun
from counterflow.engine.control.shape import Pieces, Supply, largest_cap_w, largest_scale
from counterflow.engine.dispatch.limits import Limits, cap_proportionally
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import MUST_CHARGE_REASONS
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology

_Z_LOW = 1.6448536269514722
"""Standard normal quantile of 95 %: the low value is reached on 19 of 20 days, as far as the model holds."""


class FeasibilitySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is promised, and how it is estimated."""

    headroom_factor: Annotated[
        float,
        Meta(
            description="Share of the learned capability that is committed; the rest is idle reserve.", extra={"unit": "0..1"}, gt=0, le=1
        ),
    ] = 0.9
    headroom_sizing: Annotated[
        Literal["factor", "loss"],
        Meta(
            description="What sets the headroom of an order that names none: `headroom_factor`, or `absorbed_loss` with the attrition of "
            "the window on top.",
            extra={"unit": "-"},
        ),
    ] = "factor"
    absorbed_loss: Annotated[
        float,
        Meta(
            description="Share of the cars whose sudden loss the headroom makes good.",
            extra={"unit": "0..1"},
            ge=0,
            lt=1,
        ),
    ] = 0.1
    attrition_per_h: Annotated[
        float, Meta(description="Share of plugged-in cars expected to leave unannounced each hour.", extra={"unit": "1/h"}, ge=0, lt=1)
    ] = 0.05
    gain_spread: Annotated[
        float, Meta(description="Standard deviation of a car's response around its learned gain.", extra={"unit": "-"}, ge=0)
    ] = 0.1
    common_spread: Annotated[
        float,
        Meta(description="Error that all cars share and that a bigger fleet does not average out.", extra={"unit": "-"}, ge=0),
    ] = 0.02


def committable_share(expected_w: float, window_s: float, headroom: Headroom | None, settings: FeasibilitySettings) -> float:
    """Share of the learned capability that may be committed over `window_s`, 0..1.

    Sized by the risk: what is committed is borne by the cars that are left after the attrition of the whole window and a sudden loss of
    `absorbed_loss` of them, `q = 1 - share / (1 - q_nat)` solved for the share (control.md 3).
    """
    if headroom is not None and headroom.share_frac is not None:
        return 1.0 - headroom.share_frac
    if headroom is not None and headroom.power_w is not None:
        return max(0.0, 1.0 - headroom.power_w / expected_w) if expected_w > 0.0 else 0.0
    if settings.headroom_sizing == "loss":
        return (1.0 - settings.absorbed_loss) * exp(-settings.attrition_per_h * window_s / 3600.0)
    return settings.headroom_factor


def feasible(
    image: FleetImage,
    capability: Capability,
    gain: F8,
    in_pool: B1,
    topology: Topology,
    *,
    ordered_power_w: float,
    window_s: float,
    mode: DispatchMode,
    settings: FeasibilitySettings,
    pieces: Pieces = (),
    headroom: Headroom | None = None,
    from_s: float | None = None,
    reserved_w: float = 0.0,
    draws_w: F8 | None = None,
) -> Feasibility:
    """Feasible power and energy of the rows in `in_pool` (N,) over `window_s`, W and Wh, discharge positive.

    `pieces` is the target when it is not constant; `ordered_power_w` is its peak then, the expected and the low power are the peaks of a
    target of the same shape that the pool could give, and the committed power is where the target is cut off. The window begins at
    `from_s` (None = now): limits that hold for a time count as far as it meets them, the tightest for all of it.
    `reserved_w` of what could be committed is held for others.

    A car survives the window with `exp(-attrition * window)`. What is asked is capped by the tree of export limits, as in the
    allocation: what is delivered is less by the gain. In NET_EXPORT the power of pool members that must charge is taken off; in
    RELATIVE their charging counts as what can be reduced, that of cars that give by charging less alone as long as they may: `draws_w`
    (N,), what each draws by itself (None = as it does now), import positive.
    """
    ready = in_pool & (capability.reason == Reason.READY)
    sustained_w = np.where(ready, capability.sustained_power_w, 0.0)
    reduces = in_pool & capability.reduces(mode)
    if mode is DispatchMode.RELATIVE:
        share = np.where(reduces, np.minimum(capability.pause_s / max(window_s, 1.0), 1.0), 1.0)
        draws_w = image.power_w if draws_w is None else draws_w
        charging_w = np.where((ready | reduces) & ~np.isnan(draws_w), share * np.maximum(draws_w, 0.0), 0.0)
    else:
        charging_w = np.zeros_like(sustained_w)
    stays = float(np.exp(-settings.attrition_per_h * window_s / 3600.0))
    begin_s = image.at_s if from_s is None else from_s
    limits = export_limits(image, topology, begin_s, begin_s + window_s)
    capped_w = gain * _capped(sustained_w, limits) + charging_w
    must_charge = in_pool & np.isin(capability.reason, MUST_CHARGE_REASONS) & ~np.isnan(image.power_w)
    against_w = float(np.maximum(image.power_w[must_charge], 0.0).sum()) if mode is DispatchMode.NET_EXPORT else 0.0
    expected_w = max(0.0, float(capped_w.sum()) - against_w)
    own_variance = stays * (1.0 - stays) + settings.gain_spread**2
    spread_w = sqrt(float((capped_w**2).sum()) * own_variance + (settings.common_spread * expected_w) ** 2)
    low_w = max(0.0, expected_w * stays - _Z_LOW * spread_w)
    hours = window_s / 3600.0
    energy_wh, low_energy_wh = expected_w * hours * (1.0 + stays) / 2.0, low_w * hours
    commits = committable_share(expected_w, window_s, headroom, settings)
    committed_w = min(ordered_power_w, commits * expected_w)
    if len(pieces) > 1:
        strongest_w = gain * _capped(np.where(ready, capability.max_power_w, 0.0), limits)
        supply = Supply.of(strongest_w, capped_w - charging_w, window_s, float(charging_w.sum()) - against_w)
        peak_w = largest_scale(supply, pieces) * ordered_power_w
        low_w *= peak_w / expected_w if expected_w > 0.0 else 0.0
        expected_w, committed_w = peak_w, largest_cap_w(supply, pieces, commits)
    if reserved_w > 0.0:
        committed_w = min(committed_w, max(0.0, commits * expected_w - reserved_w))
    shortfall_w = max(0.0, ordered_power_w - committed_w)
    return Feasibility(
        expected_power_w=expected_w,
        low_power_w=low_w,
        expected_energy_wh=energy_wh,
        low_energy_wh=low_energy_wh,
        committed_power_w=committed_w,
        shortfall_power_w=shortfall_w,
        sessions=int(np.count_nonzero((ready & (sustained_w > 0.0)) | (reduces & (charging_w > 0.0)))),
        limits=overrun(limits, sustained_w, topology, short=shortfall_w > NOTICEABLE_FRAC * ordered_power_w),
        reserved_power_w=reserved_w,
    )


def _capped(asked_w: F8, limits: Limits) -> F8:
    """`asked_w` (N,), each group scaled down to what it lets through."""
    return cap_proportionally(asked_w, np.maximum(asked_w, 1.0), limits)
