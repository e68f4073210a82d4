"""Reads tests/golden/table.parquet, which tests/it/tables.rs compares with what cliptune writes, as other tools do.

pip install pyarrow; run it again whenever the file changes.
"""
import os
import pyarrow.parquet as pq

table = pq.read_table(os.path.join(os.path.dirname(__file__), "table.parquet"))
rows = [("plain", 1, 0.5, [1.0, 0.25]), ("größe, \"quoted\"\n", -2, float("-inf"), [0.0, 3.0]), ("", 1 << 40, 1e-300, [-1.5, 2.0])]
assert table.column_names == ["text", "whole", "number", "vector"], table.schema
assert [str(t) for t in table.schema.types] == ["string", "int64", "double", "list<element: float not null>"], table.schema
assert list(zip(*(c.to_pylist() for c in table.columns))) == rows, table.to_pylist()
assert pq.ParquetFile(os.path.join(os.path.dirname(__file__), "table.parquet")).num_row_groups == 2
print("table.parquet: 3 rows in 2 groups, as expected")
