import inspect

import pytest

from lib import InferencesFrame, LabeledFrame, NoMeaningForSound, UnlabeledFrame, UpdateGTLabelSet
from lib.curation.frames.foreign_methods import FOREIGN_LABELS, FOREIGN_SENSORS

PREFIXES = {
    LabeledFrame: ["add_label"],
    UnlabeledFrame: ["add_label"],
    InferencesFrame: ["add", "add_inference"],
    UpdateGTLabelSet: ["add", "add_label", "update_label"],
}
METHODS = [(each, f"{prefix}_{kind}") for each in PREFIXES for prefix in PREFIXES[each] for kind in FOREIGN_LABELS]
METHODS += [(each, name) for each in (LabeledFrame, UnlabeledFrame) for name in FOREIGN_SENSORS]


@pytest.mark.parametrize(("holder", "name"), METHODS)
def test_what_has_no_meaning_for_sound_says_so(holder, name):
    method = getattr(holder(frame_id="f"), name)
    with pytest.raises(NoMeaningForSound, match=f"{name}: has no meaning for sound"):
        method(**dict.fromkeys(inspect.signature(method).parameters, 1))
