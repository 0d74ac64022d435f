"""The words: identifiers, units, orders, telemetry. No clock, no I/O, no logic beyond what a word means."""
