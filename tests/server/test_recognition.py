"""Models that requests share."""

import asyncio
from pathlib import Path

import pytest

from lib.core.errors import EarshotError
from lib.server.recognition import Recognition
from lib.server.server_metrics import ServerMetrics
from tests.models.builders import save_random_model
from tests.server.test_batch_scorer import SETTINGS
from tests.training_data.builders import AUDIO


def test_a_checkpoint_that_failed_its_trial_is_not_tried_again_at_once(tmp_path):
    """But it is if the file changes."""
    file = tmp_path / "model.pt"
    save_random_model(file, AUDIO)
    content = file.read_bytes()
    file.write_bytes(content[:5000])

    async def work() -> Path:
        recognition = Recognition(SETTINGS, ServerMetrics())
        try:
            for _ in range(2):
                process = recognition._trials._process
                with pytest.raises(EarshotError, match="is not a model that can be loaded"):
                    await recognition.model(file)
                await recognition._trials.stop()  # another trial would start another process
            assert recognition._trials._process is process
            file.write_bytes(content)
            return (await recognition.model(file)).file
        finally:
            await recognition.stop()

    assert asyncio.run(work()) == file
