"""Spectrograms as lib.audio.spectrograms makes them, outside of the network."""

from torch import Tensor

from lib.models.frontends import Frontend


class MelSpectrogram(Frontend):
    """Spectrograms (n, height, width) as images of one channel."""

    takes = "spectrograms"

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.unsqueeze(1)
