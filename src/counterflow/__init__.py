"""Counterflow: a dispatcher that turns plugged-in bidirectional cars into a virtual power plant over OCPP 2.1."""

__version__ = "0.1.0"
