"""The series as a Parquet table; everything else of the report is JSON in the file's metadata under `SUMMARY_KEY`."""

from io import BytesIO
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from counterflow.adapters.reports.names import file_name
from counterflow.domain.delivery import DeliveryReport, SeriesPoint

SUMMARY_KEY = b"counterflow.report"

_SERIES = tuple(name for name in SeriesPoint.__struct_fields__ if name != "from_s")
_NEVER_UNKNOWN = frozenset({"target_power_w", "delivered_energy_wh", "metered_share", "baseline_energy_wh"})
_WORDS = frozenset({"quality"})


def parquet_files(report: DeliveryReport) -> dict[str, bytes]:
    """One file: `from` (timestamp, UTC) and the series columns with their units in the names; unknown is null."""
    stamps = pa.array([round(point.from_s * 1000.0) for point in report.series], type=pa.timestamp("ms", tz="UTC"))
    kinds = {name: pa.string() if name in _WORDS else pa.float64() for name in _SERIES}
    columns: list[Any] = [stamps, *(pa.array([getattr(point, name) for point in report.series], type=kinds[name]) for name in _SERIES)]
    fields = [pa.field("from", stamps.type, nullable=False)]
    fields += [pa.field(name, kinds[name], nullable=name not in _NEVER_UNKNOWN) for name in _SERIES]
    summary = msgspec.json.encode(msgspec.structs.replace(report, series=()))
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={SUMMARY_KEY: summary}))
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return {file_name(report, ".parquet"): sink.getvalue()}
