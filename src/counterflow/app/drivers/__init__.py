"""Drivers and cars: agreements, who may charge, what was learned of them, and the names that stand for them."""
