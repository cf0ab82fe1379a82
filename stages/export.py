"""Write models as ONNX files, for devices and programs that have no torch: data/models -> data/onnx."""

from typing import TYPE_CHECKING

from lib.config import load_settings
from lib.console import run_stage, show_problems

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from lib.config import Audio


def export(
    model: str = "data/models",
    output: str = "data/onnx",
    recordings: str | None = None,
    params: str = "params.yaml",
    **overrides,
) -> None:
    """Write models as ONNX files that stand alone: spectrograms in, scores and embeddings out, classes as metadata.

    A file is left only if its outputs are torch's, to 1e-4, on random spectrograms and on those of a recording.

    Args:
        model: checkpoint, or folder of checkpoints, each of which becomes a file.
        output: folder to write <checkpoint>.onnx to.
        recordings: a recording, folder or list (.txt), the first of which is compared; default: the first of data.test
            that can be read.
        params: settings file.
        overrides: any setting.
    """
    settings = load_settings(params, overrides, section="infer")
    from pathlib import Path

    from lib.errors import EarshotError
    from lib.inference.inputs import data_set_recordings, recordings_of
    from lib.models.description import read_description
    from lib.models.export import export_onnx
    from lib.models.files import model_files

    found: dict[str, Path] = {}
    try:
        found, problems = recordings_of(recordings) if recordings else data_set_recordings(settings.data.test)
        show_problems(problems)
    except EarshotError:
        if recordings:
            raise
    for checkpoint in model_files(model):
        real = _spectrograms(list(found.values()), read_description(checkpoint).audio, bool(recordings))
        exported = export_onnx(checkpoint, Path(output) / f"{checkpoint.stem}.onnx", real)
        print(f"{checkpoint} -> {exported.path} ({exported.path.stat().st_size / 1e6:.1f} MB)")
        for what, ports in (("input", exported.inputs), ("output", exported.outputs)):
            for port in ports:
                shape = ", ".join(map(str, port.shape))
                print(f"  {what:<7} {port.name:<13} {port.type} ({shape}): {port.meaning}")
        compared = f"{exported.n_random} random and {exported.n_real} real spectrograms"
        print(f"  largest difference from torch on {compared}: {exported.difference:.1e}")


def _spectrograms(recordings: "list[Path]", audio: "Audio", strict: bool) -> "np.ndarray | None":
    """Spectrograms of the first of the recordings; unless strict, of the first that can be read, if there is one."""
    from lib.audio.spectrogram import recording_windows
    from lib.errors import AudioError

    for path in recordings:
        try:
            return next(recording_windows(path, audio, audio.spec_duration / 2, 32)).spectrograms
        except AudioError as error:
            if strict:
                raise AudioError(f"{path}: {error}") from None
    return None


if __name__ == "__main__":
    run_stage(export)
