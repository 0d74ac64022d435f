"""What cars, lines and meters are like: three natures that a fleet is drawn from. None of it is visible to the controller."""

from msgspec import Struct


class Nature(Struct, frozen=True, kw_only=True):
    """Distributions of one plant. Ranges are (low, high) of a uniform draw; `*_sd` are standard deviations; shares and losses are 0..1."""

    name: str
    delay_s: tuple[float, float]
    """From a setpoint at the station to the car's first move."""
    delay_tail: float = 0.0
    """Above 0 the delay is lognormal about the middle of its range with this sigma: most are quick, some are very slow."""
    ramp_w_per_s: tuple[float, float]
    dead_band_w: float = 200.0
    """A setpoint changed by less is ignored by the car."""
    gain_mean: float = 0.97
    gain_sd: float = 0.02
    gain_drift: float = 0.0
    """Stationary spread of the drift of each car's gain (a slow random walk that returns), -."""
    drift_s: float = 1_200.0
    """Its time constant."""
    bias_mean_w: float = 150.0
    bias_sd_w: float = 150.0
    derated_share: float = 0.03
    derating: tuple[float, float] = (0.5, 0.9)
    deaf_share: float = 0.02
    """Cars that never respond."""
    soc_error_sd: float = 0.02
    attrition_per_h: float = 0.05
    burst_share: float = 0.0
    """Of the attrition, what comes in bursts: several cars of one minute leave together."""
    silent_share: float = 0.2
    command_loss: float = 0.01
    meter_loss: float = 0.01
    meter_interval_s: float = 10.0
    noise_frac: float = 0.005
    noise_w: float = 30.0
    network_median_s: float = 0.2
    network_sigma: float = 0.5
    latency_s: tuple[float, float] = (0.2, 0.8)
    """Of a meter value: the least, and the mean of what comes on top (exponential)."""
    answer_timeout_s: float = 30.0
    """An order without an answer counts as timed out after this."""


REFERENCE = Nature(name="reference", delay_s=(2.0, 10.0), ramp_w_per_s=(500.0, 5_000.0))
"""Early bidirectional chargers: seconds of delay, slow ramps, systematic under-delivery."""

MODERN = Nature(name="modern", delay_s=(0.5, 2.0), ramp_w_per_s=(5_000.0, 20_000.0))
"""Chargers of 2025: the same faults, but quick."""

GUARD = Nature(
    name="guard",
    delay_s=(2.0, 12.0),
    delay_tail=0.6,
    ramp_w_per_s=(300.0, 3_000.0),
    gain_mean=0.95,
    gain_sd=0.04,
    gain_drift=0.03,
    bias_mean_w=200.0,
    bias_sd_w=250.0,
    derated_share=0.06,
    deaf_share=0.04,
    soc_error_sd=0.03,
    attrition_per_h=0.08,
    burst_share=0.5,
    silent_share=0.3,
    command_loss=0.02,
    meter_loss=0.03,
    meter_interval_s=60.0,
    noise_frac=0.01,
    noise_w=60.0,
    network_sigma=1.0,
    latency_s=(0.3, 2.0),
)
"""Nothing was tuned on it: slower, noisier, departures in bursts, heavy tails, a meter value a minute, gains that drift."""

NATURES = {nature.name: nature for nature in (REFERENCE, MODERN, GUARD)}
