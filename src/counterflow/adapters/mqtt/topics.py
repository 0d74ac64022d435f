"""The topics of a program. docs/mqtt.md is made from `TOPICS`."""

from msgspec import Struct

from counterflow.domain.program_words import (
    AnswerWords,
    OffersWords,
    OrdersWords,
    OrderWords,
    ReportWords,
    SetpointWords,
    StatusWords,
    TelemetryBatch,
    TelemetryWords,
    WithdrawWords,
)


class Topic(Struct, frozen=True):
    """One topic: whether it comes in or goes out, its message, whether the broker keeps the last one, and what it is for."""

    incoming: bool
    message: type[Struct]
    retained: bool
    meaning: str


ORDER, WITHDRAW, SETPOINT = "order", "withdraw", "setpoint"
HEARD = (ORDER, WITHDRAW, SETPOINT)
ANSWER, ORDERS, OFFERS, REPORT = "answer", "orders", "offers", "report"
TELEMETRY, REPLAYED, STATUS = "telemetry", "telemetry/replayed", "status"

TOPICS: dict[str, Topic] = {
    ORDER: Topic(True, OrderWords, False, "An order, or a change of it: the same key with another content."),
    WITHDRAW: Topic(True, WithdrawWords, False, "An order is taken back; the cars go back to charging step by step."),
    SETPOINT: Topic(True, SetpointWords, False, "A value of a stream, for now: none is kept for us."),
    ANSWER: Topic(False, AnswerWords, False, "What became of each message that came in; `malformed` where it could not be read."),
    ORDERS: Topic(False, OrdersWords, True, "All standing orders with the states of their dispatches, after each change."),
    TELEMETRY: Topic(False, TelemetryWords, False, "The pool, every `telemetry.period_s`, as it happens."),
    REPLAYED: Topic(False, TelemetryBatch, False, "What could not be sent as it happened, oldest first."),
    OFFERS: Topic(
        False, OffersWords, True, "What the pool can surely give, over each of `mqtt.offer_windows_min`, in each of `mqtt.offer_modes`."
    ),
    REPORT: Topic(False, ReportWords, False, "A final report of a dispatch can be fetched over HTTP."),
}
"""Below `<prefix>/<program>/`. The topic `<prefix>/status` stands above the programs."""

STATUS_TOPIC = Topic(False, StatusWords, True, "Whether the server is connected; the last will says `online: false`.")
