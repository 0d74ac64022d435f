"""Sessions that began charging only and could do more: when the station is told that more is allowed (Q01, 3.3)."""

from counterflow.domain.drivers import Upgrade
from counterflow.domain.records import SessionRecord


def upgrade_due(record: SessionRecord, service_renegotiation: bool | None) -> bool:
    """Whether the offer is to be made now. `service_renegotiation` is what the EVSE says of itself, None = it did not say.

    Once per session, whatever came of it: each offer may cost a renegotiation between car and station.
    """
    needs = record.needs
    if record.ended_s is not None or record.upgrade is not Upgrade.NONE or service_renegotiation is False:
        return False
    return record.terms.consent and needs is not None and needs.can_upgrade and not needs.bidirectional
