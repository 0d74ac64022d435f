"""The drift guard: one factor on what the model says, moved by whether it was kept, so that in the long run as many offers fall short as
they may, even where the model is wrong (adaptive conformal inference). It is told apart from the model."""

from msgspec.structs import replace

from counterflow.domain.offers import OfferGuard

STEP = 0.02
LEAST = 0.3
MOST = 1.2


def moved(guard: OfferGuard, *, kept: bool, confidence: float, step: float = STEP) -> OfferGuard:
    """The guard after a window: a shortfall lowers it by `step * confidence`, a kept offer raises it by `step * (1 - confidence)`."""
    change = step * (1.0 - confidence) if kept else -step * confidence
    return replace(guard, factor=min(MOST, max(LEAST, guard.factor * (1.0 + change))), windows=guard.windows + 1)
