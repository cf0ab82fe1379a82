import subprocess
import sys
from pathlib import Path

import pytest

from lib.audio.augment import AUGMENTATIONS, SYNONYMS
from lib.config.schema import TrainSettings
from lib.core.errors import SettingsError

LUMEN = [
    "CONCAT_N_SAMPLES",
    "SUM_N_SAMPLES",
    "BACKGROUND_NOISE",
    "TIME_STRETCH",
    "TIME_SHIFT",
    "PITCH",
    "COLOR_NOISE",
    "TIMEINV",
    "TIME_MASK",
    "NORM_AFTER_TIME_AUGS",
    "FREQ_MASK",
    "RANDOM_ERASE",
    "RANDOM_PIXELS",
    "SEVEN_BAND_EQ",
    "CLIPPING",
    "SUM_TWO_SAMPLES",
]


def test_each_name_of_lumen_is_one_in_lower_case():
    assert {name.lower() for name in LUMEN} <= set(AUGMENTATIONS)
    for name in LUMEN:
        with pytest.raises(SettingsError, match=rf"{name}: must be one of .*; did you mean {name.lower()}\?"):
            TrainSettings().augmentations = [name]


def test_what_they_are_called_elsewhere_leads_to_them():
    for synonym, name in SYNONYMS.items():
        assert synonym not in AUGMENTATIONS and name in AUGMENTATIONS
        with pytest.raises(SettingsError, match=rf"did you mean {name}\?"):
            TrainSettings().augmentations = [synonym]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_is_its_name_alone_with_settings_that_are_all_described(name):
    (entry,) = TrainSettings(augmentations=[name]).augmentations
    assert entry.name == name and type(entry) is AUGMENTATIONS[name] and entry == AUGMENTATIONS[name]()
    assert (Path(sys.modules[type(entry).__module__].__file__)).stem == name
    assert TrainSettings(augmentations=[entry.model_dump()]).augmentations == [entry]
    assert all(field.description for key, field in type(entry).model_fields.items() if key != "name")


def test_settings_are_read_without_torch():
    code = "import sys; from lib.config.schema import Settings; Settings(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True)
