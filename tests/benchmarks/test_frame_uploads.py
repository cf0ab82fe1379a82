"""How long an upload of 100,000 frames takes, and how much memory."""

import resource
import time

import pytest

from lib import LabeledDataset
from tests.curation.frame_builders import boxed, open_client

N = 100_000


@pytest.mark.benchmark
def test_an_upload_of_100000_frames(tmp_path):
    with open_client(tmp_path) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stream, started = LabeledDataset(), time.perf_counter()
        for n in range(N):
            stream.add_frame(boxed(f"frame-{n}"))
        built = time.perf_counter()
        client.create_dataset("marsh", "day", dataset=stream)
        uploaded = time.perf_counter()
        assert sum(len(table) for table in client.truth("marsh", "day")) == N
        read = time.perf_counter()
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"\n{N} frames with a box each: built in {built - started:.0f} s, uploaded in {uploaded - built:.0f} s, "
            f"labels read in {read - uploaded:.0f} s, {more:.0f} MiB more memory"
        )
