"""Figures of pools, second by second, kept for whoever reads them later."""
