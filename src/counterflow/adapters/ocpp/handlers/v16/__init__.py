"""Handlers of OCPP 1.6: its own requests, the same events."""
