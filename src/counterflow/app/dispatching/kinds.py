"""Which kind of profile carries a setpoint: one of several periods, a Dynamic one, one with curves, or a plain Absolute one."""

from counterflow.app.dispatching.control_paths import DYNAMIC, PERIODS, ControlPaths
from counterflow.app.dispatching.dynamic import DynamicProfiles
from counterflow.app.dispatching.setpoint_commands import Placing, cut
from counterflow.domain.commands import PlaceDischarge
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import NotSupported, Rejected
from counterflow.engine.control.refusals import MAYBE_FOR_ITS_KIND, Reaction, words_of


class ProfileKinds:
    """By what the setpoint is for, and by what its EVSE has been seen to refuse."""

    def __init__(self, paths: ControlPaths, dynamic: DynamicProfiles) -> None:
        self._paths = paths
        self._dynamic = dynamic

    def shaped(self, placing: Placing, now_s: float) -> Placing:
        """As the profile that will carry it: with several periods where the station takes them, Dynamic where target and station are
        for it."""
        place = placing.station_id, placing.evse_id
        if placing.later:
            return placing if self._paths.is_open(*place, PERIODS) else cut(placing, 0)
        # A Dynamic profile knows no start but now.
        may = placing.moves and placing.curves is None and placing.control_mode is ControlMode.DYNAMIC and placing.begins_s(now_s) <= now_s
        return self._dynamic.shaped(placing, now_s, may=may and self._paths.is_open(*place, DYNAMIC))

    def refused(self, command: PlaceDischarge, reaction: Reaction, result: Rejected | NotSupported, now_s: float) -> bool:
        """Whether a refusal may be for the profile's kind: then that one is not used again at the EVSE."""
        if reaction not in MAYBE_FOR_ITS_KIND:
            return False
        if command.watchdog_s is not None:
            path, what = DYNAMIC, "a Dynamic profile was"
        elif command.curves is not None:
            path, what = command.path, "a profile with curves was"
        elif command.later:
            path, what = PERIODS, "several periods were"
        else:
            return False
        self._paths.close(command.station_id, command.evse_id, path, f"{what} refused: {words_of(result)}", now_s)
        return True
