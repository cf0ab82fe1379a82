"""Background noise under waveforms, from the training data or from recordings of noise."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from lib.audio.augment import Batch, Transform, register, unusable
from lib.config.schema import AudioSettings
from lib.config.setting_values import Fraction, Maybe, Span, Text
from lib.core.digests import digest_known_file
from lib.core.errors import AudioError
from lib.sound.recordings import recording_files

if TYPE_CHECKING:
    from torch import Tensor

MOST_BYTES = 2**27
"""Of noise recordings, which stay in memory: 17 minutes at 32 kHz."""


class BackgroundNoise(Transform):
    """Noise is laid under a window: a window of the training data without any class, or a part of a noise recording."""

    domains = ("waveforms",)

    name: Literal["background_noise"] = "background_noise"
    probability: Fraction = Field(0.5, description="that a window gets noise")
    snr_db: Span[Annotated[float, Field(ge=-40, le=80)]] = Field(
        [3.0, 20.0], description="[lowest, highest] signal-to-noise ratio"
    )
    folder: Maybe[Text] = Field(
        None, description="a folder of noise recordings in data/inputs; empty: background windows of the training data"
    )

    @property
    def needs_background(self) -> bool:
        return self.probability > 0 and self.folder is None

    def check_background(self, n_windows: int) -> None:
        if self.needs_background and not n_windows:
            remedy = "set its folder, or raise extract.background and run the extract stage again"
            raise unusable(self, "no window that trains is without any class", remedy)

    def prepare(self, audio: AudioSettings) -> "Tensor | None":
        """Waveforms of noise, float32 (n_noise, samples), from the folder."""
        import torch

        if not (files := self.files()):
            return None
        try:
            return torch.from_numpy(read_noise(files, audio))
        except AudioError as error:
            raise unusable(self, str(error), "") from None

    def files(self) -> list[Path]:
        if self.folder is None:
            return []
        try:
            files, _ = recording_files(self.folder)
        except AudioError as error:
            raise unusable(self, str(error), "") from None
        if not files:
            raise unusable(self, f"{self.folder} holds no recording", "add recordings of noise")
        return files

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch

        from lib.audio.augment.tensors.drawing import uniform
        from lib.audio.augment.tensors.mixing import add_noise

        if self.folder is None:
            assert batch.background is not None
            noise = batch.background[: len(x)]  # each is random
        else:
            prepared = batch.prepared[self.name]
            assert prepared is not None
            chosen = torch.randint(len(prepared), (len(x),), device=x.device).cpu()
            noise = prepared[chosen, : x.shape[1]].to(x.device)
        return add_noise(x, noise, uniform(x, self.snr_db))


def read_noise(files: Sequence[Path], audio: AudioSettings) -> np.ndarray:
    """Windows of recordings of noise, float32 (n, samples), of MOST_BYTES together at most.

    Of each recording as much is read as fits if all are to have the same share; of more recordings than there is room
    for, some are taken by their content, as if drawn. One that is shorter than a window is repeated. Raises AudioError.
    """
    length = audio.window_samples + 2 * audio.margin
    most = max(1, MOST_BYTES // (4 * length))
    share = max(1, most // len(files))
    windows = np.empty((min(most, share * len(files)), length), np.float32)
    n = 0
    for file in sorted(files, key=digest_known_file)[:most]:
        for window in _windows_of(file, audio, length, share):
            windows[n], n = window, n + 1
    return windows[:n]


def _windows_of(file: Path, audio: AudioSettings, length: int, most: int) -> Iterator[np.ndarray]:
    """Windows of that many samples from the start of a recording on, as many as it has and at most that many."""
    from lib.audio import reader

    rest, n = np.empty(0, np.float32), 0
    for block in reader.stream(file, audio.sampling_rate, audio.channel):
        rest = np.concatenate([rest, block])
        while len(rest) >= length:
            yield rest[:length]
            rest, n = rest[length:], n + 1
            if n == most:
                return
    if not n:
        yield np.resize(rest, length)


register("background_noise", BackgroundNoise)
