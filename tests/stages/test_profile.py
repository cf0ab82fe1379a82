from lib.config.load import load_settings


def test_a_profile_is_written_and_what_changes_is_shown(tmp_path, run_stage):
    params = tmp_path / "params.yaml"
    params.write_text("audio: {sampling_rate: 44100}\n")
    code, output, errors = run_stage("profile", "bats", "--params", params)
    assert (code, errors) == (0, "")
    assert ["audio.sampling_rate", "44100", "256000"] in [line.split() for line in output.splitlines()]
    assert load_settings(params).audio.max_freq == 120000
    assert output.rstrip().endswith(f"-> {params}")


def test_without_a_name_all_are_listed(run_stage):
    code, output, _ = run_stage("profile")
    assert code == 0 and [line.split()[0] for line in output.splitlines()[2:]] == [
        *("birds", "bats", "frogs", "insects", "instruments", "machines")
    ]
