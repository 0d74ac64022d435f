"""Deterministic simulation: the whole server, its stations, network, disk and clocks in one process on virtual time, with faults."""
