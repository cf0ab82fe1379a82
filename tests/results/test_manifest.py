from tests.results.builders import make_manifest


def test_settings_of_label_files_change_no_results():
    one, other = make_manifest(), make_manifest(infer={"formats": ["raven"], "label_field": "codes"})
    assert one != other and one.key == other.key


def test_difference_names_what_other_results_come_from():
    manifest = make_manifest()
    other = make_manifest(infer={"min_score": 0.3, "formats": []})
    assert manifest.key != other.key
    assert manifest.difference(other) == "infer.min_score = 0.3"
    assert manifest.difference(make_manifest(models={"model.pt": "2"}, code="y")) == "another model"
    assert manifest.difference(make_manifest(code="y", excluded=["a"])) == "other excluded, other code"
