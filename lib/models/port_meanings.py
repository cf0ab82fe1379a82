"""What goes into the ONNX file of a recognizer, and what comes out of it, in words."""

from lib.config.schema import AudioSettings
from lib.models.description import Description
from lib.models.platt_scaling import AS_IT_IS

SCORES, FRAME_SCORES, EMBEDDINGS = "scores", "frame_scores", "embeddings"


def port_meanings(description: Description, shape: tuple[int, ...]) -> dict[str, str]:
    """What a graph's input, of windows of that shape, and outputs are, by name, in their order."""
    kind = "independent of each other" if description.multi_label else "that sum to 1"
    if description.stored_calibration.scaling != AS_IT_IS:
        kind = "Platt-scaled"
    is_sound = description.takes == "waveforms"
    meanings = {
        description.takes: _sound(description.audio, shape) if is_sound else _spectrograms(description.audio),
        SCORES: f"score in 0..1 of each class of class_names, {kind}",
    }
    if description.head == "sed":
        meanings[FRAME_SCORES] = f"such scores of each frame, {description.sed_fps:g} frames a second"
    meanings[EMBEDDINGS] = "vectors to compare windows by: similar sounds have similar directions"
    return meanings


def _sound(audio: AudioSettings, shape: tuple[int, ...]) -> str:
    around = f", with {audio.margin} samples more on either side" if shape[0] > audio.window_samples else ""
    return f"sound of windows of {audio.spec_duration:g} s{around}, at {audio.sampling_rate} Hz, mono, in -1..1"


def _spectrograms(audio: AudioSettings) -> str:
    levels = "as amplitudes, 1 at the loudest point of the window"
    if audio.decibels:
        levels = f"in decibels, 1 at the loudest point of the window, 0 at {audio.top_db:g} dB below it"
        levels += f", to the power of {audio.db_power:g}" if audio.db_power != 1 else ""
    bands = f"{audio.spec_height} {audio.freq_scale} bands"
    return (
        f"windows of {audio.spec_duration:g} s at {audio.sampling_rate} Hz: {bands}, low frequency first, by "
        f"{audio.spec_width} frames; levels {levels}"
    )
