"""Synthesize the default data: a seed -> data/sample (soundscapes, annotations, classes, occurrences)."""

from lib.config.command_line import run_stage, stage
from lib.core.errors import SettingsError
from lib.core.progress import progress
from lib.core.wording import counted


@stage()
def sample(
    output: str = "data/sample",
    seed: int = 1,
    train: int = 24,
    test: int = 10,
    seconds: float = 60.0,
    workers: int = 0,
) -> None:
    """Synthesize soundscapes of invented species with exact annotations, and where and when the species occur.

    Examples:
        python -m stages.sample
        python -m stages.sample --output data/more --seed 2 --train 100 --seconds 300

    Args:
        output: folder to write; what an earlier run wrote there is replaced.
        seed: whole number from 0; the same seed gives the same files.
        train: soundscapes to train with.
        test: soundscapes to evaluate with.
        seconds: length of a soundscape, at least 20.
        workers: threads; 0: one for each processor.
    """
    for name, value in (("seed", seed), ("train", train), ("test", test), ("workers", workers)):
        if type(value) is not int or value < 0:
            raise SettingsError(f"--{name} = {value!r}", "must be a whole number from 0")
    if not isinstance(seconds, int | float) or not 20 <= seconds <= 3600:
        raise SettingsError(f"--seconds = {seconds!r}", "must be a number from 20 to 3600")
    from lib.core.parallel import n_workers
    from lib.sample.soundscapes import write_sample

    written = write_sample(str(output), seed, train, test, seconds, n_workers(workers))
    counts = [n for _, n in progress(written, "sample", total=train + test)]
    print(f"{train} + {test} recordings of {seconds:g} s, {counted(sum(counts), 'annotated song')} -> {output}")


if __name__ == "__main__":
    run_stage(sample)
