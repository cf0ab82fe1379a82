"""Write models as ONNX files, for devices and programs without torch: data/models -> data/onnx."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import DataSetSettings, Settings
from lib.core.console import show_problems
from lib.core.errors import EarshotError
from lib.sound.recordings import Recordings


@stage("infer")
def export(
    settings: Settings, model: str = "data/models", output: str = "data/onnx", recordings: str | None = None
) -> None:
    """Write models as self-contained ONNX files: spectrograms in, scores and embeddings out, classes as metadata.

    A file is only kept if its outputs equal torch's, to 1e-4, on random spectrograms and on those of a recording.

    Args:
        model: checkpoint, or folder of checkpoints, each of which becomes a file.
        output: folder to write <checkpoint>.onnx to.
        recordings: a recording, folder or list (.txt), of which the first recording is compared; default: the first
            recording of data.test that can be read.
    """
    from pathlib import Path

    from lib.models.model_files import model_files
    from lib.models.onnx_export import comparison_spectrograms, export_onnx
    from lib.sound.recordings import recordings_of

    files, problems = recordings_of(recordings) if recordings else (_test_recordings(settings.data.test), [])
    show_problems(problems)
    for checkpoint in model_files(model):
        spectrograms = comparison_spectrograms(list(files.values()), checkpoint, must_be_readable=bool(recordings))
        exported = export_onnx(checkpoint, Path(output) / f"{checkpoint.stem}.onnx", spectrograms)
        print(f"{checkpoint} -> {exported.path} ({exported.path.stat().st_size / 1e6:.1f} MB)")
        for port in exported.ports:
            shape = ", ".join(map(str, port.shape))
            print(f"  {port.direction:<7} {port.name:<13} float32 ({shape}): {port.meaning}")
        compared = f"{exported.n_random} random and {exported.n_real} real spectrograms"
        print(f"  largest difference from torch on {compared}: {exported.difference:.1e}")


def _test_recordings(data_set: DataSetSettings) -> Recordings:
    """The recordings of a data set, none if it cannot be read."""
    from lib.formats.data_sets import read_data_set

    try:
        return read_data_set(data_set).recordings
    except EarshotError:
        return {}


if __name__ == "__main__":
    run_stage(export)
