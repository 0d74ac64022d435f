"""What an EVSE does not stand by is remembered, with the reason, until its firmware changes."""

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.dispatching.control_paths import DYNAMIC, ControlPaths
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.records import DocumentKind

HERE = StationId("S1"), EvseId(1)
BESIDE = StationId("S1"), EvseId(2)


def test_refusals_in_a_row_close_a_path_at_one_evse_and_survive_a_restart() -> None:
    journal = MemoryJournal()
    paths = ControlPaths(journal, 2)
    assert not paths.refused(*HERE, DYNAMIC, "no", 1.0)
    paths.worked(*HERE, DYNAMIC)
    assert not paths.refused(*HERE, DYNAMIC, "no", 2.0)
    assert paths.is_open(*HERE, DYNAMIC)
    assert paths.refused(*HERE, DYNAMIC, "no again", 3.0)
    assert not paths.is_open(*HERE, DYNAMIC)
    assert paths.is_open(*HERE, "afrr")
    assert paths.is_open(*BESIDE, DYNAMIC)
    again = ControlPaths(journal, 2)
    for _, record in journal.documents(DocumentKind.PATH):
        again.restore(record)
    [closed] = again.closed_at(HERE[0])
    assert (closed.evse_id, closed.path, closed.reason, closed.at_s) == (EvseId(1), DYNAMIC, "no again", 3.0)


def test_another_firmware_may_try_everything_again() -> None:
    journal = MemoryJournal()
    paths = ControlPaths(journal, 1)
    paths.close(*HERE, DYNAMIC, "no", 1.0)
    paths.close(*BESIDE, DYNAMIC, "no", 1.0)
    paths.close(StationId("S2"), EvseId(1), DYNAMIC, "no", 1.0)
    paths.forget(StationId("S1"))
    assert paths.closed_at(StationId("S1")) == ()
    assert not paths.is_open(StationId("S2"), EvseId(1), DYNAMIC)
    assert len(list(journal.documents(DocumentKind.PATH))) == 1
