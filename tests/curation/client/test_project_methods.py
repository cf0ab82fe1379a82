import pytest

from lib import (
    ClassMapUpdateEntry,
    CustomMetricsDefinition,
    LabelClassMap,
    NoMeaningForSound,
    PrimaryTaskTypes,
    StratifiedMetricsDefinition,
)
from lib.core.errors import EarshotError
from tests.curation.frame_builders import open_client

CLASSES = LabelClassMap.from_classnames(["Wren", "Owl"])


@pytest.fixture
def client(tmp_path):
    with open_client(tmp_path) as client:
        yield client


def test_a_project_is_what_it_was_created_with(client):
    client.create_project(
        "reserve",
        CLASSES,
        PrimaryTaskTypes.BinaryClassification,
        custom_metrics=CustomMetricsDefinition("loss", "objective"),
        stratified_metrics=[StratifiedMetricsDefinition("month", ["April", "May"])],
        metrics_iou_threshold=0.3,
        external_metadata={"by": "<i>me</i>"},
        binary_classification_negative_class="Owl",
    )
    project = client.get_project("reserve")
    assert project["custom_metrics"] == [{"name": "loss", "metrics_type": "objective"}]
    assert project["stratified_metrics"] == [{"name": "month", "ordered_values": ["April", "May"]}]
    assert (project["metrics_confidence_threshold"], project["metrics_iou_threshold"]) == (0.1, 0.3)
    assert project["primary_task"] == "BINARY_CLASSIFICATION"
    assert client.class_map("reserve").entries == CLASSES.entries
    assert [each["id"] for each in client.get_projects()] == ["marsh", "reserve"]
    client.update_project_metadata("reserve", {"a": [1]})
    assert client.get_project("reserve")["external_metadata"] == {"a": [1]}


def test_a_project_is_there_until_it_is_deleted(client):
    assert client.project_exists("marsh") and not client.project_exists("other")
    with pytest.raises(EarshotError, match="exists already"):
        client.create_project("marsh", CLASSES)
    client.delete_project("marsh")
    assert not client.project_exists("marsh")
    for method in (client.get_project, client.delete_project, client.get_issue_manager):
        with pytest.raises(EarshotError, match="none of this name"):
            method("marsh")
    client.create_project("marsh", CLASSES)


@pytest.mark.parametrize("name", ["", " ", "a\0b", "a\nb", "x" * 1001, "\ud800", 3])
def test_a_name_that_cannot_be_stored_is_refused(client, name):
    with pytest.raises(EarshotError):
        client.create_project(name, CLASSES)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "<img onerror=alert(1)>", "'; DROP TABLE Project; --", "Zaunkönig"]
)
def test_other_names_are_text(client, name):
    client.create_project(name, CLASSES)
    assert client.get_project(name)["id"] == name


@pytest.mark.parametrize(
    "options",
    [
        {"metrics_iou_threshold": 2},
        {"primary_task": PrimaryTaskTypes.BinaryClassification},
        {"max_shown_categories": 101},
        {"external_metadata": {"a": object()}},
        {"external_metadata": [1]},
    ],
)
def test_values_that_are_not_allowed_create_nothing(client, options):
    with pytest.raises(EarshotError):
        client.create_project("bad", CLASSES, **options)
    assert not client.project_exists("bad")


def test_definitions_are_checked():
    with pytest.raises(EarshotError, match="metrics_type"):
        CustomMetricsDefinition("loss", "number")
    with pytest.raises(EarshotError, match="no values"):
        StratifiedMetricsDefinition("month", [])


def test_cameras_have_no_meaning(client):
    with pytest.raises(NoMeaningForSound, match="default_camera_target"):
        client.create_project("bad", CLASSES, default_camera_target=[0.0, 0.0, 0.0])


def test_colors_change_together_or_not_at_all(client):
    before = client.class_map("marsh").entries
    updates = [ClassMapUpdateEntry(name="Wren", color=(1, 2, 3)), ClassMapUpdateEntry(name="Emu", color=(1, 2, 3))]
    with pytest.raises(EarshotError, match="Emu"):
        client.update_label_class_map_colors("marsh", updates)
    assert client.class_map("marsh").entries == before
    client.update_label_class_map_colors("marsh", updates[:1])
    assert client.class_map("marsh").entries[0].color == (1, 2, 3)


def test_credentials_are_complete_and_change_nothing(client):
    client.set_credentials(api_key="k")
    client.set_credentials(app_id="a", app_key="b")
    for options in ({}, {"app_id": "a"}, {"api_key": "k", "token": "t"}):
        with pytest.raises(EarshotError, match="incomplete"):
            client.set_credentials(**options)
