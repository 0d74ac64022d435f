"""Events and telemetry of programs, posted to receivers that the settings name."""
