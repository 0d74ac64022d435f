"""What a lying meter makes of a true reading."""

from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from counterflow.sim.meter import Reading


def frozen() -> Callable[[Reading], Reading]:
    """Always the reading at which it froze, under ever new timestamps."""
    first: list[Reading] = []

    def lie(true: Reading) -> Reading:
        first.append(true)
        return replace(first[0], at_s=true.at_s)

    return lie


def wrong_sign() -> Callable[[Reading], Reading]:
    """Power with the wrong sign; registers are right."""
    return lambda true: replace(true, power_w=-true.power_w)


def spikes(random: Random) -> Callable[[Reading], Reading]:
    """Now and then a hundred times the power."""
    return lambda true: replace(true, power_w=true.power_w * (100.0 if random.random() < 0.2 else 1.0))


def register_reset(import_wh: int, export_wh: int) -> Callable[[Reading], Reading]:
    """Registers that began anew at zero."""
    return lambda true: replace(true, import_wh=max(0, true.import_wh - import_wh), export_wh=max(0, true.export_wh - export_wh))
