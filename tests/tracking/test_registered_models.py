import pytest

from lib.tracking.registry.model_queries import find_models
from lib.tracking.registry.registered_models import MetadataEntry


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("pond", id="word"),
        pytest.param("[1", id="broken"),
        pytest.param("7", id="number"),
        pytest.param('["pond"]', id="list"),
        pytest.param('{"value": 1, "type": "int"}', id="no text"),
        pytest.param('{"value": "1"}', id="part"),
    ],
)
def test_tags_that_were_edited_by_hand_break_no_list(store, text):
    model = store.add("frogs", system_tags=["package"])
    keys = ("metadata.site", "history.0002-abcd", "system_tags")
    for key in keys:
        store.client.set_model_version_tag(model.name, str(model.version), f"earshot.{key}", text)
    (read,) = find_models(store.client, name=model.name)
    assert read.metadata == {"site": MetadataEntry(text, "str")} and read.history == model.history
    assert read.system_tags == (["pond"] if text == '["pond"]' else [])
    assert find_models(store.client, name=model.name, metadata={"site": text}) == [read]
