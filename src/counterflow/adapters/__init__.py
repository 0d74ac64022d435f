"""The wires: one folder per standard or port. Adapters do not know each other."""
