"""What is announced on the event stream: every kind, what it is about, and its values. docs/events.md is made from this."""

from msgspec import Struct


class NoticeKind(Struct, frozen=True):
    """One kind of notice. `subject` is what its subject names, `values` the meaning and unit of each value."""

    meaning: str
    subject: str
    values: dict[str, str] = {}


NOTICES: dict[str, NoticeKind] = {
    "commitment.state": NoticeKind(
        "A commitment was made, called, settled or withdrawn, or has expired; `text` names its state.",
        "commitment",
        {"power_w": "Committed discharge power [W].", "reason": "Why, where there is one."},
    ),
    "conflicts.found": NoticeKind("A station has charging profiles that are not ours; `text` names them.", "station"),
    "conflicts.priority": NoticeKind("A site's operator said who has priority there; `text` tells who said what.", "site"),
    "dispatch.accepted": NoticeKind("An order was accepted.", "dispatch", {"power_w": "Ordered discharge power [W]."}),
    "dispatch.amended": NoticeKind("Power or end was changed.", "dispatch", {"power_w": "Discharge power ordered last [W]."}),
    "dispatch.displaced": NoticeKind(
        "An order of higher priority cuts it short, or cancels it.",
        "dispatch",
        {"winner": "The dispatch that has priority.", "end_s": "Where it ends now [s since 1970]."},
    ),
    "dispatch.state": NoticeKind("It is in another state, which `text` names.", "dispatch", {"reason": "Why."}),
    "dispatch.report": NoticeKind("A report of it was made, and can be fetched.", "dispatch", {"final": "true = its meter values are in."}),
    "dispatch.note": NoticeKind("A person noted something of it; `text` is that, with who it was.", "dispatch"),
    "dispatch.replanned": NoticeKind(
        "Cars were lost, and others are asked in their place; `text` is that in words.",
        "dispatch",
        {"lost": "How many were lost.", "lost_power_w": "Discharge power lost with them [W].", "asked": "How many setpoints make it good."},
    ),
    "dispatch.second": NoticeKind(
        "Once a second while it runs or charging is resumed: what its cars deliver, by their meters as they stand.",
        "dispatch",
        {
            "delivered_power_w": "Discharge positive [W].",
            "delivered_energy_wh": "Since the start [Wh].",
            "unmeasured": "Cars whose power is unknown; they count as nothing in the sum.",
            "quality": "good, stale, estimated (a part is not measured) or missing.",
        },
    ),
    "dispatch.tick": NoticeKind(
        "After each round of control.",
        "dispatch",
        {
            "target_power_w": "What is ordered now [W].",
            "delivered_power_w": "Measured, discharge positive [W].",
            "headroom_power_w": "Discharge power in reserve [W].",
            "discharging": "Cars that discharge.",
        },
    ),
    "dispatch.shortfall": NoticeKind(
        "The target cannot be met with what is there, or can again; told in the tick that sees it, and again when much has changed.",
        "dispatch",
        {"shortfall_power_w": "What is missing; 0 = nothing [W].", "capability_power_w": "What can be given now, reserve included [W]."},
    ),
    "dispatch.stream": NoticeKind(
        "The source of a streamed target is heard, or overdue: what follows from it.",
        "dispatch",
        {
            "phase": "waiting, live; overdue: holding, falling (down to zero), silent.",
            "target_power_w": "What is asked now [W].",
            "overdue": "true = its dead-man acts.",
        },
    ),
    "emergency_stop": NoticeKind("The emergency stop was set or reset.", "fleet", {"on": "true = set."}),
    "fleet.second": NoticeKind(
        "Once a second while a dispatch is open.",
        "fleet",
        {
            "measured_power_w": "Sum of the known powers, discharge positive [W].",
            "quality": "good, stale, estimated (a part is not measured) or missing.",
        },
    ),
    "grid.alarm": NoticeKind(
        "A wire of a grid operator has something to complain of, such as a lost server, or it is over; `text` tells.",
        "wire",
        {"on": "true = it lasts."},
    ),
    "grid.order": NoticeKind(
        "A grid operator's program ordered something, or took it back; `text` tells what became of it.",
        "program/order",
        {"outcome": "accepted, changed, withdrawn, over or refused.", "dispatch_id": "The dispatch that it became; null = none."},
    ),
    "lost": NoticeKind(
        "This reader missed notices: it was too slow, or away for too long.",
        "stream",
        {"lost": "How many; null = unknown, the server was started anew."},
    ),
    "session.dropped_out": NoticeKind(
        "A car was lost to its dispatch; `text` tells where, why, and how much went with it.",
        "session",
        {
            "lost_power_w": "Discharge power lost with it [W].",
            "how": "The kind of drop-out, a code.",
            "station_id": "Its station; empty = not known any more.",
            "dispatch_id": "The dispatch that lost it.",
        },
    ),
    "session.guarded": NoticeKind(
        "A guarantee was broken for a session, and it is not discharged any more; `text` says which.",
        "session",
        {
            "guarantee": "Its number: I1 floor, I2 departure, I3 limits, I4 permission, I5 bounds, I7 ends, I8 owned, I11 stopped.",
            "station_id": "Its station; empty = not known any more.",
            "dispatch_id": "The dispatch that it belonged to; left out = none.",
        },
    ),
    "session.upgrade": NoticeKind(
        "A session that began charging only was offered a bidirectional transfer; `text` tells what came of it.", "session"
    ),
    "session.refused": NoticeKind(
        "A station would not take an order; `text` tells why.",
        "session",
        {"station_id": "Which station; empty = not known any more.", "dispatch_id": "The dispatch that lost it."},
    ),
    "station.connected": NoticeKind("A station's line is up; `text` is its subprotocol.", "station"),
    "station.held_out": NoticeKind("A station takes no part until a person releases it; `text` tells why.", "station"),
    "station.released": NoticeKind("A person let a station take part again that was held out; `text` tells who.", "station"),
    "station.disconnected": NoticeKind("A station's line is gone; `text` tells why.", "station"),
}
