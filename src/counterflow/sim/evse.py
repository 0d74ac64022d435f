"""One EVSE and the car at it: the transaction's state as the station keeps it."""

from collections.abc import Callable
from math import inf

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    AdditionalInfoType,
    ChargingNeedsType,
    ConnectorStatusEnumType,
    EnergyTransferModeEnumType,
    IdTokenType,
    MeterValueType,
    NotifyEVChargingNeedsRequest,
    V2XChargingParametersType,
)
from counterflow.sim.meter import Reading
from counterflow.sim.profiles import Effective
from counterflow.sim.vehicle import UNRESTRICTED, Plant

NOTHING_APPLIES = Effective(UNRESTRICTED, "ChargingOnly", None)


class SimEvse:
    """An EVSE with one connector; its car is row `row` of the plant."""

    def __init__(self, evse_id: int, plant: Plant, row: int, *, is_dc: bool, stay_s: float, id_token: str, evccid: str) -> None:
        self.evse_id = evse_id
        self.plant = plant
        self.row = row
        self.is_dc = is_dc
        self.stay_s = stay_s
        self.token = IdTokenType(
            id_token=id_token, type="eMAID", additional_info=[AdditionalInfoType(additional_id_token=evccid, type="EVCCID")]
        )
        self.evccid = evccid
        self.status: ConnectorStatusEnumType = "Available"
        self.told_status: ConnectorStatusEnumType | None = None
        self.operative = True
        self.scheduled_control = False
        """Its car negotiates ISO 15118-20 ScheduledControl."""
        self.departure_s = inf
        self.silent = False
        self.meter_fault = "none"
        """What of the meter runs the wrong way round (see StationSettings)."""
        self.lie: Callable[[Reading], Reading] | None = None
        """What a lying meter makes of a true reading."""
        self.waiting = False
        """Plugged in and not yet answered for."""
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self.transaction_id: str | None = None
        self.seq_no = 0
        self.charging = False
        self.evse_told = False
        self.started_charging_s = 0.0
        self.allowed: tuple[str, ...] = ()
        self.needs_sent = False
        self.bidirectional = False
        self.effective = NOTHING_APPLIES
        self.delivered = UNRESTRICTED
        self.edge_s = inf
        self.sampling = 0
        self.aligned: list[MeterValueType] = []
        """Clock-aligned values that go with the end of the transaction."""
        self.last_profile_s = -inf

    @property
    def occupied(self) -> bool:
        """A car is plugged in."""
        return bool(self.plant.plugged[self.row])

    def begin(self, transaction_id: str) -> None:
        """A transaction starts; no power flows yet."""
        allowed = self.allowed
        self._forget_transaction()
        self.transaction_id, self.allowed = transaction_id, allowed

    def end(self) -> None:
        """The transaction is over."""
        self._forget_transaction()

    def next_seq_no(self) -> int:
        """Sequence numbers start at 0 and have no gaps (E01)."""
        number = self.seq_no
        self.seq_no += 1
        return number

    def reading(self, now_s: float) -> Reading:
        """The meter and the car's state of charge at this instant."""
        plant, row, order = self.plant, self.row, self.effective.order
        import_wh, export_wh = plant.registers_wh(row)
        power_w = plant.meter_w(row)
        if self.meter_fault in ("power", "both"):
            power_w = -power_w
        if self.meter_fault in ("registers", "both"):
            import_wh, export_wh = export_wh, import_wh
        true = Reading(
            at_s=now_s,
            power_w=power_w,
            import_wh=import_wh,
            export_wh=export_wh,
            soc_frac=plant.believed_soc_of(row),
            setpoint_w=None if order.is_limit else order.power_w,
        )
        return true if self.lie is None else self.lie(true)

    # ---- what the car needs

    @property
    def transfers(self) -> tuple[EnergyTransferModeEnumType, EnergyTransferModeEnumType]:
        """The one-way and the bidirectional transfer of this EVSE's kind."""
        return ("DC", "DC_BPT") if self.is_dc else ("AC_three_phase", "AC_BPT")

    def agree_transfer(self) -> EnergyTransferModeEnumType:
        """The transfer that car and station settle on: bidirectional only where the CSMS allowed it (Q01.FR.03)."""
        one_way, both_ways = self.transfers
        return both_ways if both_ways in self.allowed else one_way

    def needs(self, now_s: float) -> NotifyEVChargingNeedsRequest:
        """NotifyEVChargingNeeds as a car in ISO 15118-20 dynamic control sends it; energies from the car's own state of charge."""
        plant, row = self.plant, self.row
        capacity_wh, soc = float(plant.capacity_wh[row]), plant.believed_soc_of(row)
        target, floor = float(plant.target_soc_frac[row]), float(plant.floor_soc_frac[row])
        least_w, most_w = round(float(plant.min_power_w[row])), round(float(plant.max_power_w[row]))
        requested = self.agree_transfer()
        parameters = V2XChargingParametersType(
            min_charge_power=least_w,
            max_charge_power=most_w,
            min_discharge_power=least_w,
            max_discharge_power=most_w,
            ev_target_energy_request=round((target - soc) * capacity_wh),
            ev_min_energy_request=round((floor - soc) * capacity_wh),
            ev_max_energy_request=round((1.0 - soc) * capacity_wh),
            ev_min_v2x_energy_request=round((floor - soc) * capacity_wh),
            ev_max_v2x_energy_request=round((1.0 - soc) * capacity_wh),
            target_soc=round(100.0 * target),
        )
        return NotifyEVChargingNeedsRequest(
            evse_id=self.evse_id,
            max_schedule_tuples=12,
            timestamp=rpc.instant(now_s),
            charging_needs=ChargingNeedsType(
                requested_energy_transfer=requested,
                available_energy_transfer=list(self.transfers),
                control_mode="ScheduledControl" if self.scheduled_control else "DynamicControl",
                mobility_needs_mode="EVCC",
                departure_time=rpc.instant(self.departure_s),
                v2x_charging_parameters=parameters,
            ),
        )
