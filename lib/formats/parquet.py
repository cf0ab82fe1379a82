"""Format `parquet`: a table of labels with recording, name, start_time, end_time, score, path."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from lib.core.files import atomic, printable
from lib.formats import WRITERS, LabelScheme, Writer
from lib.sound.labels import RecordingLabels

ROWS_AT_ONCE = 100_000


def _write(path: Path, recordings: Iterable[RecordingLabels], scheme: LabelScheme) -> None:
    import pyarrow
    from pyarrow import parquet

    text, number = pyarrow.string(), pyarrow.float64()
    types = {"recording": text, "name": text, "start_time": number, "end_time": number}
    schema = pyarrow.schema(types | {"score": pyarrow.float32(), "path": text})
    rows = (
        (labelled.recording, scheme.shown[name], *numbers, printable(str(labelled.path)))
        for labelled in recordings
        for name, *numbers in labelled.labels
    )
    with atomic(path) as part, parquet.ParquetWriter(part, schema) as writer:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            columns = zip(zip(*some, strict=True), schema, strict=True)
            arrays = [pyarrow.array(values, field.type) for values, field in columns]
            writer.write_table(pyarrow.table(arrays, schema=schema))


WRITERS.register("parquet", Writer(_write, together="labels.parquet"))
