"""Ids of our requests."""

from uuid import UUID

from counterflow.adapters.ocpp.rpc import MAX_MESSAGE_ID_LENGTH
from counterflow.app.stations.message_ids import new_message_ids


def test_ids_have_the_shape_of_a_uuid_and_never_repeat_within_a_run_or_between_two() -> None:
    first, second = new_message_ids(), new_message_ids()
    ids = [new() for new in (first, second) for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert all(str(UUID(one)) == one and len(one) <= MAX_MESSAGE_ID_LENGTH for one in ids)
