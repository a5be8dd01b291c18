"""Writes the Parquet files of this folder: files as other writers make them, which our own writer cannot.

Regenerate with `python3 make_fixtures.py` in this folder, with pyarrow 26 installed.
"""

from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

UTC = timezone.utc
TIMES = [datetime(2018, 6, 1, 12, 30, 0, 250999, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999500, tzinfo=UTC)]
NAIVE = [time.replace(tzinfo=None) for time in TIMES]
SECONDS = [datetime(2018, 6, 1, 12, 30, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]

columns = {
    "text": pa.array(["grüße", "", None], pa.string()),
    "large_text": pa.array(["a", None, "ccc"], pa.large_string()),
    "view": pa.array(["short", "a text that is too long to be inlined", None], pa.string_view()),
    "dictionary": pa.array(["x", "y", "x"]).dictionary_encode(),
    "dictionary_null": pa.array(["x", None, "x"]).dictionary_encode(),
    "binary": pa.array([b"\x00\xff", b"", None], pa.binary()),
    "int8": pa.array([-128, 127, None], pa.int8()),
    "int16": pa.array([-32768, 32767, None], pa.int16()),
    "int32": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
    "int64": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
    "uint8": pa.array([0, 255, None], pa.uint8()),
    "uint16": pa.array([0, 65535, None], pa.uint16()),
    "uint32": pa.array([0, 2**32 - 1, None], pa.uint32()),
    "uint64": pa.array([0, 2**64 - 1, None], pa.uint64()),
    "half": pa.array([0.5, -2.0, None], pa.float16()),
    "float": pa.array([0.5, float("inf"), None], pa.float32()),
    "double": pa.array([0.1, -0.0, None], pa.float64()),
    "whole_double": pa.array([1.0, 0.0, None], pa.float64()),
    "decimal": pa.array([Decimal("12.34"), Decimal("-0.01"), None], pa.decimal128(9, 2)),
    "decimal256": pa.array([Decimal("12.34"), Decimal("-0.01"), None], pa.decimal256(50, 2)),
    "bool": pa.array([True, False, None], pa.bool_()),
    "seconds": pa.array(SECONDS + [TIMES[0].replace(microsecond=0)], pa.timestamp("s", "UTC")),
    "milliseconds": pa.array(SECONDS + [SECONDS[0]], pa.timestamp("ms", "Europe/Berlin")),
    "microseconds": pa.array(TIMES + [TIMES[0]], pa.timestamp("us", "UTC")),
    "nanoseconds": pa.array(NAIVE + [NAIVE[0]], pa.timestamp("ns")),
    "date": pa.array([date(2018, 6, 1), date(1969, 12, 31), date(2018, 6, 1)], pa.date32()),
    "epoch": pa.array([1527856200250, -1, 1527856200250], pa.int64()),
    "time_text": pa.array(["2018-06-01T12:30:00.250Z", "2018-06-01T14:30:00.2509+02:00", "2018-06-01t12:30:00.25z"]),
    "time_null": pa.array(SECONDS + [None], pa.timestamp("s", "UTC")),
    "bad_time_text": pa.array(["2018-06-01T12:30:00Z", "2018-06-01T12:30:00Z", "2018-06-01 12:30"]),
    "list": pa.array([[1], [2, 3], None], pa.list_(pa.int64())),
    "struct": pa.array([{"a": 1}, {"a": 2}, None], pa.struct([("a", pa.int64())])),
    "after_nested": pa.array([7, 8, 9], pa.int64()),
}
pq.write_table(pa.table(columns), "types.parquet")

# What writers make of columns in which they saw nothing but nulls.
pq.write_table(pa.table({"text": pa.array(["a", "b"]), "nothing": pa.nulls(2)}), "nulls.parquet")

legacy = pa.table({"timestamp": pa.array(TIMES + [datetime(9999, 12, 31, tzinfo=UTC)], pa.timestamp("us", "UTC"))})
pq.write_table(legacy, "int96.parquet", use_deprecated_int96_timestamps=True)

# Four row groups of two users each; integer ids, with and without sign.
for name, kind in (("integer_users.parquet", pa.int64()), ("unsigned_users.parquet", pa.uint32())):
    top = 2**32 - 8 if kind == pa.uint32() else -8
    ids = [7, 7, 9, 20, 20, 21, 50, 51, 51, top, top, top + 1]
    table = pa.table({"user_id": pa.array(ids, kind), "amount": [float(i) for i in range(len(ids))]})
    pq.write_table(table, name, row_group_size=3)

# Row groups without a row: between two others, and alone, as pyarrow writes an empty table.
rows = pa.table({"user_id": ["a", "b"], "amount": [1.5, 2.5]})
with pq.ParquetWriter("empty_group.parquet", rows.schema) as writer:
    writer.write_table(rows)
    writer.write_table(rows.slice(0, 0))
    writer.write_table(rows)
pq.write_table(rows.slice(0, 0), "empty.parquet")
