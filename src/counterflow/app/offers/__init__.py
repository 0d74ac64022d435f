"""Firm offers of the live fleet: made, committed, forecast and judged."""
