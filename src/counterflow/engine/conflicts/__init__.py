"""Who else steers an EVSE, and what follows from it."""
