"""SpecAugment: masks of bands and frames (Park et al., 2019), through torchaudio."""

from torch import nn
from torchaudio.transforms import FrequencyMasking, TimeMasking

from lib.config.schema import AudioSettings, TrainSettings


def spec_augment(settings: TrainSettings, audio: AudioSettings) -> nn.Sequential:
    """The masks that the settings ask for, of spectrograms (n, 1, height, width); masks differ between windows."""
    bands = min(settings.freq_mask_bands, audio.spec_height)
    frames = min(round(settings.time_mask_seconds * audio.frame_rate), audio.spec_width)
    return nn.Sequential(
        *(FrequencyMasking(bands, iid_masks=True) for _ in range(settings.freq_masks)),
        *(TimeMasking(frames, iid_masks=True) for _ in range(settings.time_masks)),
    )
