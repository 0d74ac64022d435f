"""What to do about an alarm, where its sentence does not say so itself."""

REMEDIES: tuple[tuple[str, str], ...] = (
    ("The emergency stop is on.", "Reset it with the button at the top right once it is safe to discharge again."),
    ("The console on ", "Look whether another program has its port; [console] in the settings names another."),
    ("The console has not started", "The log of the server says why; `serve --no-console` does without."),
    ("Raw frames ", "Look at the disk of the data folder; dispatch goes on without them."),
    ("Old records cannot be moved", "Look at the disk of the data folder; nothing is lost, it only grows."),
    ("Telemetry cannot be written", "Look at the disk of the data folder; control goes on."),
    ("The journal ", "Free space on its disk, or repair it; orders at stations end by themselves meanwhile."),
    ("The machine's clock was set back", "Look at the machine's time service (NTP); nothing else is needed."),
    ("The revocation list ", "Fetch a newer list from the authority and put it in its place; it is read at once."),
    ("A fault of ours", "Look into the log of the server and report it; cancel the dispatch if its figures are odd."),
    ("The session at ", "Its page says why; it takes part again once its car is plugged in anew."),
    ("(source ", "Look whether its source still sends; amend or cancel the dispatch if it does not come back."),
    ("The final report of dispatch ", "Look at the disk of the data folder; the report follows by itself."),
    ("The MQTT broker ", "Look at the broker and the way to it; docs/mqtt.md tells what is kept meanwhile."),
    ("No control system has been connected by IEC 104", "Call whoever runs the control system, or look at the network between."),
    ("VTN ", "Look whether the VTN can be reached and its credentials hold; docs/openadr.md tells what goes on meanwhile."),
)
"""A part of the alarm, and what to do. The first that is found counts."""
OTHERWISE = "The log of the server says more; docs/recovery.md tells what goes on by itself."


def remedy_of(alarm: str) -> str:
    """A sentence."""
    return next((remedy for part, remedy in REMEDIES if part in alarm), OTHERWISE)
