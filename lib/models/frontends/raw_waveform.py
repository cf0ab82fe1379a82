"""The sound itself, for backbones that take waveforms, such as wav2vec 2.0."""

from torch import Tensor

from lib.audio.spectrogram_tensors import without_margins
from lib.models.frontends import Frontend

VARIANCE_FLOOR = 1e-7


class RawWaveform(Frontend):
    """Waveforms (n, window_samples) of zero mean and unit variance over each window; silence is all 0.

    (x - mean) / sqrt(variance + 1e-7), as wav2vec 2.0 was trained with (Baevski et al., 2020; zero_mean_unit_var_norm
    of transformers' Wav2Vec2FeatureExtractor). is_standardized may be set to False for a backbone that takes samples as
    they are.
    """

    gives = "waveforms"
    is_standardized = True

    def compute(self, inputs: Tensor) -> Tensor:
        waveforms = without_margins(inputs, self.audio)
        if not self.is_standardized:
            return waveforms
        centred = waveforms - waveforms.mean(dim=1, keepdim=True)
        return centred / (centred.square().mean(dim=1, keepdim=True) + VARIANCE_FLOOR).sqrt()
