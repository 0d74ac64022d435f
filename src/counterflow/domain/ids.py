"""Identifiers, spelled as OCPP spells them.

A transaction id is unique per station only (OCPP 2.1 E01), so a session is known by (station, transaction) outside and by one
64-bit `SessionUid` of ours inside: small, sortable, never reused, safe in an array.
"""

from typing import NewType

StationId = NewType("StationId", str)
TransactionId = NewType("TransactionId", str)
EvseId = NewType("EvseId", int)
ConnectorId = NewType("ConnectorId", int)
SessionUid = NewType("SessionUid", int)
ProfileId = NewType("ProfileId", int)
DispatchId = NewType("DispatchId", str)
SiteId = NewType("SiteId", str)
FeederId = NewType("FeederId", str)
PoolId = NewType("PoolId", str)

SessionKey = tuple[StationId, TransactionId]

NO_SESSION = SessionUid(0)
"""The uid of a row that holds no session."""

ALL_SITES = PoolId("all")
"""The pool that every site belongs to."""
