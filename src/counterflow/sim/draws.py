"""Random numbers in blocks: one at a time for the caller, thousands at a time for the generator."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

BLOCK: Final = 4096


def _in_blocks(block: Callable[[int], np.ndarray]) -> Iterator[float]:
    while True:
        yield from block(BLOCK).tolist()


class Draws:
    """Uniform, normal and exponential draws from one seeded generator; the same seed gives the same run."""

    __slots__ = ("exponential", "generator", "normal", "uniform")

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.uniform: Callable[[], float] = _in_blocks(generator.random).__next__
        """In [0, 1)."""
        self.normal: Callable[[], float] = _in_blocks(generator.standard_normal).__next__
        """Mean 0, standard deviation 1."""
        self.exponential: Callable[[], float] = _in_blocks(generator.standard_exponential).__next__
        """Mean 1."""
