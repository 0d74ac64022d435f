"""Tunables of the storage room."""

from typing import Annotated

from msgspec import Meta, Struct


class StorageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How writes are grouped, when the disk is called full, and how long each class of data is kept (0 days = forever)."""

    commit_interval_s: Annotated[
        float,
        Meta(
            description="Longest time a write waits for others before its commit starts; an answer waits for the commit.",
            extra={"unit": "s"},
            ge=0.0,
            le=0.01,
        ),
    ] = 0.01
    retry_s: Annotated[
        float, Meta(description="Pause before a commit that failed is tried again.", extra={"unit": "s"}, gt=0.0, le=60.0)
    ] = 1.0
    pending_max_bytes: Annotated[
        int,
        Meta(
            description="Writes kept in memory while the disk does not take them; beyond it they are lost and never acknowledged.",
            extra={"unit": "B"},
            ge=1_048_576,
        ),
    ] = 134_217_728
    disk_check_s: Annotated[
        float, Meta(description="How often the free space of the disk is looked at.", extra={"unit": "s"}, gt=0.0, le=600.0)
    ] = 5.0
    disk_alarm_free_bytes: Annotated[
        int, Meta(description="Free space below which the disk alarm is raised.", extra={"unit": "B"}, ge=0)
    ] = 2_147_483_648
    disk_alarm_free_share: Annotated[
        float, Meta(description="Free share of the disk below which the disk alarm is raised.", extra={"unit": "0..1"}, ge=0.0, lt=1.0)
    ] = 0.02
    last_samples_lookback_s: Annotated[
        float, Meta(description="How far back a start looks for the last meter values of a session.", extra={"unit": "s"}, gt=0.0)
    ] = 86_400.0
    last_samples_max_rows: Annotated[
        int, Meta(description="How many samples a start reads at most for the last meter values.", extra={"unit": "rows"}, ge=1)
    ] = 4_000_000
    sample_days: Annotated[
        int, Meta(description="Full days that meter samples stay in SQLite before they move to Parquet.", extra={"unit": "d"}, ge=1)
    ] = 3
    archive_days: Annotated[
        int, Meta(description="Days that Parquet files of meter samples are kept; 0 = forever.", extra={"unit": "d"}, ge=0)
    ] = 0
    closed_session_days: Annotated[int, Meta(description="Days that ended sessions are kept; 0 = forever.", extra={"unit": "d"}, ge=0)] = 90
    account_days: Annotated[
        int,
        Meta(
            description="Days that the counted energy of a driver, vehicle or contract is kept after it was last counted. Caps look back "
            "over a year.",
            extra={"unit": "d"},
            ge=367,
        ),
    ] = 400
    learned_response_days: Annotated[
        int,
        Meta(
            description="Days that it is kept how a car (or cars at an EVSE, or at a model of EVSE) answers, after something was last "
            "learned; 0 = forever.",
            extra={"unit": "d"},
            ge=0,
        ),
    ] = 400
    dispatch_days: Annotated[
        int, Meta(description="Days that ended dispatches and their logs are kept; 0 = forever.", extra={"unit": "d"}, ge=0)
    ] = 0
    report_days: Annotated[int, Meta(description="Days that reports are kept; 0 = forever.", extra={"unit": "d"}, ge=0)] = 0
    frames_in_clear: Annotated[
        bool,
        Meta(description="Raw frames keep identifiers of people and cars as they are, instead of pseudonyms.", extra={"unit": "-"}),
    ] = False
    audit_days: Annotated[int, Meta(description="Days that entries of the audit log are kept; 0 = forever.", extra={"unit": "d"}, ge=0)] = (
        400
    )
    frame_ring_bytes: Annotated[
        int, Meta(description="Disk space for the newest raw OCPP frames; 0 = keep none.", extra={"unit": "B"}, ge=0)
    ] = 536_870_912
