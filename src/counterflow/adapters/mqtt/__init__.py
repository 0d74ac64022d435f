"""Orders, answers and telemetry of programs over MQTT 5."""
