"""Durability: the SQLite journal, the ring of raw frames, retention and archive."""
