"""OCPP 2.1, CSMS side: frames, sessions, handlers, profiles, measurands, the WebSocket gateway."""
