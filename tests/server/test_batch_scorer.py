"""Windows of several requests are scored together, and each gets its own scores."""

import asyncio
import json
import threading

import numpy as np
import pytest

from lib.config.schema import ServeSettings, Settings
from lib.core.errors import EarshotError
from lib.inference.predictor import Predictor
from lib.models.description import read_description
from lib.server.batch_scorer import BATCHES_AHEAD, BatchScorer, ServedModel, stamp_of
from lib.server.decoder_messages import LONGEST_LINE, DecoderMessage, parse
from tests.models.builders import save_random_model
from tests.training_data.builders import AUDIO

SETTINGS = Settings(
    audio=AUDIO, extract={"overlap": 0.0}, infer={"overlap": 0.25, "batch_size": 8, "device": "cpu", "precision": "32"}
)
SIZES = [1, 3, 2, 1, 8, 0, 5, 2, 1, 1, 7]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[ServedModel]:
    folder, models = tmp_path_factory.mktemp("models"), []
    for seed in (1, 2):
        file = folder / f"{seed}.pt"
        save_random_model(file, AUDIO, seed=seed)
        models.append(ServedModel(file, stamp_of(file), read_description(file), SETTINGS.infer))
    return models


def windows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, AUDIO.spec_height, AUDIO.spec_width), np.float32)


def test_requests_share_batches_and_get_their_own_scores(models):
    batches, parts = list[int](), [windows(n, seed) for seed, n in enumerate(SIZES)]

    async def work() -> list[np.ndarray]:
        scorer = BatchScorer(SETTINGS, batches.append)
        for model in models:
            await scorer.load(model)
        batches.clear()
        futures = [await scorer.submit(models[i % 2], part) for i, part in enumerate(parts)]
        results = await asyncio.gather(*futures)
        scorer.close()
        return results

    results = asyncio.run(work())
    predictors = [Predictor(model.file, "cpu", SETTINGS) for model in models]
    for i, (part, scores) in enumerate(zip(parts, results, strict=True)):
        assert scores == pytest.approx(predictors[i % 2].score_windows(part)[0], abs=1e-6)
    assert max(batches) <= 8
    assert len(batches) < len(SIZES)
    assert sum(batches) == sum(SIZES)


def test_windows_that_nobody_waits_for_any_more_take_no_room_in_a_batch(models):
    batches, is_busy, may_go_on = list[int](), threading.Event(), threading.Event()

    def note_batch(n: int) -> None:
        batches.append(n)
        is_busy.set()
        may_go_on.wait()

    async def work() -> None:
        scorer = BatchScorer(SETTINGS, note_batch)
        try:
            futures = [await scorer.submit(models[0], windows(1, 1))]
            await asyncio.to_thread(is_busy.wait)
            futures += [await scorer.submit(models[0], windows(4, 1)) for _ in range(3)]
            futures.pop(2).cancel()
            may_go_on.set()
            await asyncio.gather(*futures)
        finally:
            may_go_on.set()
            scorer.close()

    asyncio.run(work())
    assert batches == [1, 8]


def test_windows_that_wait_are_bounded(models):
    most = BATCHES_AHEAD * SETTINGS.infer.batch_size

    async def work() -> int:
        scorer, highest = BatchScorer(SETTINGS), 0
        await scorer.load(models[0])
        for _ in range(40):
            await scorer.submit(models[0], windows(8, 1))
            highest = max(highest, scorer.n_waiting)
        scorer.close()
        return highest

    assert asyncio.run(work()) <= most


def test_no_more_models_stay_loaded_than_are_wanted(models):
    settings = SETTINGS.model_copy(update={"serve": ServeSettings(max_models=1)})

    async def work() -> tuple[list[np.ndarray], int]:
        scorer = BatchScorer(settings)
        results = [await (await scorer.submit(model, windows(2, 1))) for model in (*models, *models)]
        scorer.close()
        return results, len(scorer._predictors)

    results, n = asyncio.run(work())
    assert n == 1
    assert np.array_equal(results[0], results[2]) and not np.array_equal(results[0], results[1])


def test_a_model_that_cannot_be_loaded_fails_its_requests_alone(models, tmp_path):
    lost = ServedModel(tmp_path / "lost.pt", (0, 0), models[0].description, SETTINGS.infer)

    async def work() -> np.ndarray:
        scorer = BatchScorer(SETTINGS)
        with pytest.raises(EarshotError, match="holds no model"):
            await scorer.load(lost)
        scores = await (await scorer.submit(models[0], windows(2, 1)))
        scorer.close()
        return scores

    assert asyncio.run(work()).shape == (2, 3)


def test_a_model_that_was_replaced_is_not_loaded_untried(models, tmp_path):
    """It may be when it was not among those that stay loaded."""
    file = tmp_path / "model.pt"
    save_random_model(file, AUDIO)
    model = ServedModel(file, stamp_of(file), read_description(file), SETTINGS.infer)
    save_random_model(file, AUDIO, ["others"])

    async def work() -> None:
        scorer = BatchScorer(SETTINGS)
        try:
            with pytest.raises(EarshotError, match="was replaced while it was read"):
                await (await scorer.submit(model, windows(2, 1)))
        finally:
            scorer.close()

    asyncio.run(work())


def test_a_model_that_fails_is_an_error_that_can_be_told(models):
    """As where memory runs out: what torch raises becomes an EarshotError; here, for windows that it does not take."""

    async def work() -> np.ndarray:
        scorer = BatchScorer(SETTINGS)
        with pytest.raises(EarshotError, match="could not score"):
            await (await scorer.submit(models[0], np.full((2, AUDIO.spec_height, AUDIO.spec_width), "x")))
        scores = await (await scorer.submit(models[0], windows(2, 1)))
        scorer.close()
        return scores

    assert asyncio.run(work()).shape == (2, 3)


def test_windows_of_any_batch_size_fit_into_messages(models):
    infer = SETTINGS.infer.model_copy(update={"batch_size": 10**9})
    model = ServedModel(models[0].file, models[0].stamp, models[0].description, infer)
    n = model.windows.batch
    line = json.dumps(DecoderMessage("windows", starts=n * (12345.678901234567,))._asdict() | {"values": [n, 16, 40]})
    message, shape = parse(line.encode())
    assert len(message.starts) == shape[0] == n
    assert len(line) < LONGEST_LINE
