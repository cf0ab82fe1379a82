import pytest
from pyarrow import parquet

from lib.formats import parquet as parquet_format


@pytest.mark.parametrize("at_once", [1, 100_000])
def test_the_file_is_a_table_of_labels_with_paths(write_labels, monkeypatch, at_once):
    monkeypatch.setattr(parquet_format, "ROWS_AT_ONCE", at_once)
    table = parquet.read_table(write_labels("parquet", field="alt_codes"))
    assert table.to_pydict() == {
        "recording": ["a/r01", "a/r01", "b/r01"],
        "name": ["TF", "wren", "wren"],
        "start_time": [0, 2, 1.5],
        "end_time": [4.5, 5, 3],
        "score": pytest.approx([0.98765, 0.5, 0.25]),
        "path": ["field/a/r01.wav", "field/a/r01.wav", "field/b/r01.wav"],
    }
    assert parquet.read_table(write_labels("parquet", ())).num_rows == 0
