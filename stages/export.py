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
    """Write models as self-contained ONNX files: windows in, scores and embeddings out, classes and card as metadata.

    A file is only kept if its outputs equal torch's, to 1e-4, on random windows and on those of a recording.

    Examples:
        python -m stages.export                           data/onnx/model.onnx
        python -m stages.export --model model.pt --output phone --recordings dawn.wav

    Args:
        model: checkpoint, folder of checkpoints, each of which becomes a file, or registry:NAME@ALIAS or
            registry:NAME/VERSION.
        output: folder to write <checkpoint>.onnx to.
        recordings: a recording, folder or list (.txt, .csv), of which the first recording is compared; default: the
            first recording of data.test that can be read.
    """
    from pathlib import Path

    from lib.models.model_files import model_files
    from lib.models.onnx_export import comparison_windows, export_onnx
    from lib.sound.recordings import recordings_of
    from lib.tracking.registry.model_card import card_metadata
    from lib.tracking.registry.model_provenance import card_for_export
    from lib.tracking.registry.registered_inputs import chosen_model

    model = str(chosen_model(model, settings.tracking).path)
    files, problems = recordings_of(recordings) if recordings else (_test_recordings(settings.data.test), [])
    show_problems(problems)
    for checkpoint in model_files(model):
        windows = comparison_windows(list(files.values()), checkpoint, must_be_readable=bool(recordings))
        metadata = card_metadata(card_for_export(checkpoint, settings))
        exported = export_onnx(checkpoint, Path(output) / f"{checkpoint.stem}.onnx", windows, metadata)
        print(f"{checkpoint} -> {exported.path} ({exported.path.stat().st_size / 1e6:.1f} MB)")
        for port in exported.ports:
            shape = ", ".join(map(str, port.shape))
            print(f"  {port.direction:<7} {port.name:<13} float32 ({shape}): {port.meaning}")
        compared = f"{exported.n_random} random and {exported.n_real} real windows"
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
