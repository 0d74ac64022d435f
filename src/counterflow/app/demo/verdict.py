"""Did a dispatch keep its promise? Ten-second means against the target, with the grace that was agreed beforehand."""

from collections.abc import Iterable, Sequence
from math import isnan

from msgspec import Struct

SETTLE_S = 60.0
GRACE_S = 45.0
TOLERANCE_FRAC = 0.03
MEAN_S = 10.0


class Mean(Struct, frozen=True, kw_only=True):
    """A ten-second mean: delivered power (discharge positive; None = unknown) against the target."""

    from_s: float
    target_power_w: float
    delivered_power_w: float | None

    @property
    def error_frac(self) -> float | None:
        """Relative error, None when the power is unknown."""
        return None if self.delivered_power_w is None else self.delivered_power_w / self.target_power_w - 1.0


class Verdict(Struct, frozen=True, kw_only=True):
    """`worst_frac` is the largest error of the judged means (signed), None when none could be judged."""

    judged: int
    outside: int
    unknown: int
    worst_frac: float | None
    rmse_frac: float | None

    @property
    def kept(self) -> bool:
        """Every judged mean is known and inside the tolerance, and there was something to judge."""
        return self.judged > 0 and self.outside == 0 and self.unknown == 0


def graces(start_s: float, drop_outs_s: Sequence[float]) -> list[tuple[float, float]]:
    """What is not judged, (from_s, to_s): `SETTLE_S` after the start, `GRACE_S` after a drop-out."""
    return [(start_s, start_s + SETTLE_S), *((at_s, at_s + GRACE_S) for at_s in drop_outs_s)]


def judge(means: Iterable[Mean], not_judged: Sequence[tuple[float, float]]) -> Verdict:
    """Judge all means that touch none of the stretches (from_s, to_s) that are not judged."""
    errors: list[float] = []
    unknown = 0
    for mean in means:
        if any(from_s - MEAN_S < mean.from_s < to_s for from_s, to_s in not_judged):
            continue
        error = mean.error_frac
        if error is None or isnan(error):
            unknown += 1
        else:
            errors.append(error)
    return Verdict(
        judged=len(errors) + unknown,
        outside=sum(abs(error) > TOLERANCE_FRAC for error in errors),
        unknown=unknown,
        worst_frac=max(errors, key=abs) if errors else None,
        rmse_frac=(sum(error * error for error in errors) / len(errors)) ** 0.5 if errors else None,
    )


def means_of(samples: Iterable[tuple[float, float]], start_s: float, end_s: float, target_power_w: float) -> list[Mean]:
    """Ten-second means of (time, power) samples; a stretch without samples has no known power."""
    count = int((end_s - start_s) // MEAN_S)
    buckets: list[list[float]] = [[] for _ in range(count)]
    for at_s, power_w in samples:
        index = int((at_s - start_s) // MEAN_S)
        if 0 <= index < count:
            buckets[index].append(power_w)
    return [
        Mean(
            from_s=start_s + index * MEAN_S,
            target_power_w=target_power_w,
            delivered_power_w=sum(bucket) / len(bucket) if bucket else None,
        )
        for index, bucket in enumerate(buckets)
    ]
