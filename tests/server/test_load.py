"""More clients than are served at a time: each request is answered as if it were alone, or told to come back."""

from tests.server.conftest import LIMITS
from tests.server.load import load


def test_no_accepted_request_fails(server, served):
    files = sorted((served / "data/set/recordings").iterdir())
    expected = {f"200 {file.name} {server.predict(file).text}" for file in files}
    refusal = '{"detail": "too many requests at a time; try again"}'
    refusals = {f"429 {file.name} {refusal}" for file in files}
    outcome = load(server.url, "model.pt", 2 * LIMITS["max_requests"], 3, files)
    assert outcome["answers"].keys() - refusals == expected
    assert server.metric("earshot_requests_running") == 0
    assert server.metric("earshot_windows_waiting") == 0
