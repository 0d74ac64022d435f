"""From stored samples in any order to one clean set of columns a session."""

from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import Sample
from counterflow.domain.ids import SessionUid

F8 = NDArray[np.float64]

_COLUMNS = ("at_s", "power_w", "export_wh", "import_wh")


class MeterColumns(NamedTuple):
    """Samples of one session, strictly increasing in time. All (N,); NaN = not in the sample; power import positive."""

    at_s: F8
    power_w: F8
    export_wh: F8
    import_wh: F8


NO_SAMPLES = MeterColumns(*(np.empty(0) for _ in _COLUMNS))


def meter_columns(samples: tuple[Sample, ...], from_s: float, to_s: float) -> dict[SessionUid, MeterColumns]:
    """Columns by session, from samples in any order; timestamps outside [from_s, to_s] are left out (a clock gone wrong).

    Samples with one timestamp are one sample: a repeated message changes nothing, parts complete each other, and of two power
    values the one that claims less discharge counts. The result depends on the set of samples only, never on their order.
    """
    count = len(samples)
    if count == 0:
        return {}
    uid = np.fromiter(map(attrgetter("session_uid"), samples), np.int64, count)
    columns = {name: np.fromiter(map(attrgetter(name), samples), np.float64, count) for name in _COLUMNS}
    usable = (columns["at_s"] >= from_s) & (columns["at_s"] <= to_s)
    for name in _COLUMNS[1:]:
        columns[name][~np.isfinite(columns[name])] = np.nan
    usable &= np.isfinite(columns["power_w"]) | np.isfinite(columns["export_wh"]) | np.isfinite(columns["import_wh"])
    uid = uid[usable]
    if len(uid) == 0:
        return {}
    order = np.lexsort((columns["at_s"][usable], uid))
    uid = uid[order]
    at_s = columns["at_s"][usable][order]
    first = np.flatnonzero(np.concatenate(([True], (np.diff(uid) != 0) | (np.diff(at_s) > 0.0))))
    merged = [at_s[first]]
    merged += [np.fmax.reduceat(columns[name][usable][order], first) for name in _COLUMNS[1:]]
    uid = uid[first]
    begins = np.flatnonzero(np.concatenate(([True], np.diff(uid) != 0)))
    ends = np.append(begins[1:], len(uid))
    return {
        SessionUid(int(uid[begin])): MeterColumns(*(column[begin:end] for column in merged))
        for begin, end in zip(begins, ends, strict=True)
    }
