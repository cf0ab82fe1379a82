"""Frequency masks: a band is silenced (SpecAugment, Park et al., 2019)."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from lib.audio.augment import Batch, Transform, register
from lib.config.schema import AudioSettings
from lib.config.setting_values import Whole

if TYPE_CHECKING:
    from torch import Tensor


class FreqMask(Transform):
    """Neighbouring bands are silenced; of waveforms, the frequencies from the lowest to the highest of them."""

    prefers_spectrograms: ClassVar[bool] = True

    name: Literal["freq_mask"] = "freq_mask"
    masks: Whole = Field(1, description="number of masks")
    bands: Whole = Field(8, description="most bands of a mask")

    def changed(self, x: "Tensor", batch: Batch) -> "Tensor":
        import torch
        from torch.nn.functional import pad

        from lib.audio.augment.tensors.fourier import spectrum_of, waveform_of
        from lib.audio.augment.tensors.masking import masked

        if x.dim() == 4:
            return x.masked_fill(masked(x.transpose(2, 3), self.bands, self.masks)[:, None, :, None], batch.silence)
        audio = batch.audio
        bands = masked(x.new_empty(len(x), audio.spec_height), self.bands, self.masks)
        spectrum = spectrum_of(x)
        of_bins = torch.from_numpy(_band_of_bins(spectrum.shape[1], audio)).to(x.device)
        mask = pad(bands, (0, 1))[:, of_bins]
        return waveform_of(spectrum.masked_fill(mask, 0.0), x.shape[1])


def _band_of_bins(n_bins: int, audio: AudioSettings) -> np.ndarray:
    """The band whose centre is nearest to each frequency of a transform, int (n_bins,); beyond all, spec_height."""
    from lib.audio.spectrograms import SCALES

    to_scale, _ = SCALES[audio.freq_scale]
    frequencies = np.linspace(0, audio.sampling_rate / 2, n_bins)
    low, high = to_scale(audio.min_freq), to_scale(audio.max_freq)
    places = (to_scale(np.maximum(frequencies, 1e-3)) - low) / (high - low) * (audio.spec_height + 1) - 1
    bands = np.round(places).astype(np.int64)
    return np.where((bands >= 0) & (bands < audio.spec_height), bands, audio.spec_height)


register("freq_mask", FreqMask)
