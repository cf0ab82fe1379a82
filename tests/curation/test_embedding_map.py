import numpy as np

from lib.curation.embedding_map import FEWEST, layout


def test_sounds_in_the_same_direction_are_near_each_other():
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((3, 64))
    vectors = np.concatenate([centre + 0.05 * rng.standard_normal((20, 64)) for centre in centres])
    lengths = rng.uniform(0.5, 5, (60, 1))  # which mean nothing
    positions = layout((vectors * lengths).astype(np.float32))
    assert positions.shape == (60, 2) and positions.min() >= 0 and positions.max() <= 1
    middles = positions.reshape(3, 20, 2).mean(axis=1)
    own = np.linalg.norm(positions.reshape(3, 20, 2) - middles[:, None], axis=2).max()
    between = min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert own < between / 3
    assert len(vectors) < FEWEST


def test_one_sound_and_equal_sounds_have_places_too():
    for n in (1, 2, 5):
        assert np.isfinite(layout(np.ones((n, 8), np.float32))).all()
