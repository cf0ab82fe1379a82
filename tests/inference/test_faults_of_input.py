"""Inference beside files that are no recordings, and beside the caller's own work."""

import gc
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from lib.formats import WRITERS
from lib.sound.labels import RESULTS_FILE
from tests.inference.test_analyzer import SECONDS, field, folder, run, whole
from tests.rights import ordinary_user
from tests.training_data.builders import extract_folder, write_data_set

__all__ = ["field", "folder", "whole"]


def test_files_that_are_no_recordings_fail_alone_and_odd_names_are_known_next_time(folder, field, whole, tmp_path):
    model = shutil.copytree(folder / "pool", tmp_path / "pool")
    long_names = [field / f"{(length - 4) * 'n'}.wav" for length in range(248, 256)]
    for file in (*long_names, field / "a\rb.wav", field / "=cmd().wav"):
        shutil.copy(field / "short.wav", file)
    os.mkfifo(field / "pipe.wav")
    (field / "endless.wav").symlink_to("/dev/zero")
    (field / "gone.wav").symlink_to("nowhere.wav")
    (field / "folder.wav").mkdir()
    shutil.copy(field / "short.wav", field / "cut.wav")
    os.truncate(field / "cut.wav", 44)
    shutil.copy(field / "short.wav", field / "secret.wav")
    (field / "secret.wav").chmod(0)
    formats = [name for name, writer in WRITERS.items() if writer.each]
    with ordinary_user(tmp_path):
        first = run(field, model, tmp_path / "out", formats=formats)
        second = run(field, model, tmp_path / "out", formats=formats)
    failed = {result.name: result.reason for result in first.results if not result.is_ok}
    assert failed == {
        "cut": "holds no sound (no samples)",
        "endless": "cannot be read (it is not a regular file)",
        "gone": "cannot be read (No such file or directory)",
        "pipe": "cannot be read (it is not a regular file)",
        "secret": "cannot be read (Permission denied)",
    }
    assert (first.n_new, second.n_new) == (len(long_names) + 2 + len(SECONDS), 0)
    assert len(list((tmp_path / "out/raven").iterdir())) == len(first.results) - len(failed)


def test_analyzing_and_extracting_leave_the_process_as_it_was(folder, tmp_path):
    def state():
        generator = torch.get_rng_state().tolist()
        settings = (gc.get_threshold(), gc.isenabled(), sys.getswitchinterval(), torch.get_num_threads(), os.getcwd())
        return settings, dict(os.environ), generator, np.random.get_state()[1].tolist()

    before = state()
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(run, folder / "field", folder / "pool", tmp_path / str(k)) for k in range(4)]
        assert all(each.result().n_new == len(SECONDS) for each in done)
    extract_folder(write_data_set(tmp_path / "set", 2), tmp_path / "training.db")
    assert state() == before
    stores = [(tmp_path / str(k) / RESULTS_FILE).read_bytes() for k in range(4)]
    assert stores == 4 * stores[:1]
