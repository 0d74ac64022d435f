"""All that a report was made from, as one Parquet table: the meter values, and the rest as JSON in its metadata under `STORED_KEY`."""

from io import BytesIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from counterflow.domain.delivery import Sample, Stored

STORED_KEY = b"counterflow.stored"
EVIDENCE_ENDING = "-evidence.parquet"
PARTS = ("samples", "after", "history")
"""Values of the column `part`: around the window, later for the recovery alone, and of earlier days."""

_NUMBERS = tuple(name for name in Sample.__struct_fields__ if name != "session_uid")
_SCHEMA = pa.schema(
    [
        pa.field("part", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("session_uid", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64()) for name in _NUMBERS),
    ]
)


def write_evidence(stored: Stored) -> bytes:
    """The table; columns as in `Sample`, null = not in the sample, power import positive."""
    samples = [(part, sample) for part in PARTS for sample in getattr(stored, part)]
    columns = [
        pa.array([part for part, _ in samples]).cast(_SCHEMA.field("part").type) if samples else pa.array([], _SCHEMA.field("part").type),
        pa.array([sample.session_uid for _, sample in samples], pa.int64()),
        *(pa.array([getattr(sample, name) for _, sample in samples], pa.float64(), from_pandas=True) for name in _NUMBERS),
    ]
    rest = msgspec.json.encode(msgspec.structs.replace(stored, samples=(), after=(), history=()))
    sink = BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA.with_metadata({STORED_KEY: rest})), sink, compression="zstd")
    return sink.getvalue()


def read_evidence(content: bytes) -> Stored:
    """The reverse, exact to the bit. Raises ValueError for a file that is none."""
    try:
        table = pq.read_table(BytesIO(content))
        stored = msgspec.json.decode(table.schema.metadata[STORED_KEY], type=Stored)
        columns = [table.column("session_uid").to_pylist(), *(_floats(table, name) for name in _NUMBERS)]
        parts = table.column("part").to_pylist()
    except (pa.ArrowException, msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"it is no table of meter values that Counterflow wrote ({error})") from None
    found: dict[str, list[Sample]] = {part: [] for part in PARTS}
    for part, *values in zip(parts, *columns, strict=True):
        found.setdefault(part, []).append(Sample(*values))
    return msgspec.structs.replace(stored, **{part: tuple(found[part]) for part in PARTS})


def _floats(table: pa.Table, name: str) -> list[float]:
    values: list[float] = table.column(name).to_numpy(zero_copy_only=False).tolist()
    return values
