"""Figures in few digits."""

from math import isinf, isnan


def words(value: float) -> str:
    """Three digits that matter, or what cannot be counted in a word."""
    if isnan(value):
        return "-"
    if isinf(value):
        return "never"
    if value == 0.0 or abs(value) >= 1_000.0:
        return f"{value:,.0f}"
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3g}"
