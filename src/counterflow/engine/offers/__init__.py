"""Firm offers: what a pool can surely give over a window, how that is judged afterwards, and what became of each offer."""
