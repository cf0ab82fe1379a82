"""What the flags and values of Lumen's technical documentation are called here, for those who come from it.

`python -m lib.config.lumen_names` writes .github/lumen.md, which the README links to.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lib.core.files import write_text

PAGE = Path(".github/lumen.md")


class Value(NamedTuple):
    """A value of one of Lumen's enumerations: `setting: value` here, as in params.yaml."""

    theirs: str
    setting: str
    value: str


class Flag(NamedTuple):
    """A flag of one of Lumen's programs, and what takes its place here."""

    theirs: str
    here: str


class Command(NamedTuple):
    """What one of Lumen's example commands is for, and the commands here that do the same."""

    purpose: str
    here: str


def _values(setting: str, *pairs: tuple[str, str]) -> list[Value]:
    return [Value(theirs, setting, value) for theirs, value in pairs]


def _same(setting: str, names: str, form: str = "{}") -> list[Value]:
    """Values that are called alike, in lower case."""
    return [Value(name, setting, form.format(name.lower())) for name in names.split()]


ENUMERATIONS: dict[str, list[Value]] = {
    "AudioTransforms": _values(
        "train.frontend",
        ("MEL_SPECTROGRAM", "mel"),
        ("MFCC", "mfcc"),
        ("MULTI_SPECTROGRAM", "multi"),
        ("AST", "ast"),
        ("WAV2VEC", "waveform"),
        ("WAVELET", "wavelet"),
    ),
    "ModelInputDataType": _values("train.frontend", ("IMAGE", "mel"), ("WAVEFORM", "waveform")),
    "SupportedModels": _same(
        "train.backbone",
        "AST EFFICIENT_NET_V2_S EFFICIENT_NET_V2_M EFFICIENT_NET_V2_L RESNEXT50_32X4D RESNEXT101_32X8D "
        "RESNEXT101_64X4D WAV2VEC WAV2VEC_CNN CONVNEXT_TINY CONVNEXT_SMALL CONVNEXT_LARGE CONVNEXT_BASE "
        "MOBILENET_V3_LARGE MOBNET",
    ),
    "SupportedHeads": _values("train.head", ("DEEP_HEAD", "deep"), ("ATTENTION_HEAD", "attention")),
    "SupportedLossFunctions": [
        *_same("train.loss", "CROSS_ENTROPY CROSS_ENTROPY_POS_WEIGHT FOCAL_LOSS FOCAL_LOSS_POS_WEIGHT"),
        Value("INSTRUMENT_FAMILY_LOSS", "train.loss", "family_loss"),
    ],
    "SupportedAugmentations": _same(
        "train.augmentations",
        "CONCAT_N_SAMPLES SUM_N_SAMPLES SUM_TWO_SAMPLES BACKGROUND_NOISE TIME_STRETCH TIME_SHIFT PITCH COLOR_NOISE "
        "TIMEINV TIME_MASK NORM_AFTER_TIME_AUGS FREQ_MASK RANDOM_ERASE RANDOM_PIXELS SEVEN_BAND_EQ CLIPPING",
        "[{}]",
    ),
    "SupportedOptimizer": _same("train.optimizer", "ADAM ADAMW"),
    "SupportedScheduler": [
        *_values("train.schedule", ("ONECYCLE", "one_cycle"), ("PLATEAU", "plateau"), ("COSINEANNEALING", "cosine")),
        Value("AUTO_LR", "train.learning_rate", "auto"),
    ],
    "OptimizeMetric": _same("train.metric", "VAL_HAMMING VAL_F1"),
    "MetricMode": _same("train.metric_mode", "MIN MAX"),
    "SupportedDatasetDirType": [
        *_same("data.train.format", "irmastrain irmastest csv openmic"),
        Value("inference", "", "python -m stages.infer --recordings PLACE, or inference:PLACE in stages.test"),
    ],
}
"""Lumen's enumerations, by name."""

FLAGS: dict[str, list[Flag]] = {
    "train.py": [
        Flag("--train-paths", "`data.train.path` and `data.train.format`; several sets: a folder with a sets.csv"),
        Flag(
            "--val-paths", "`data.test.path` and `data.test.format`; `train.val_fraction` of the training set validates"
        ),
        Flag("--model", "`train.backbone`"),
        Flag("--audio-transform", "`train.frontend`; all but mel need `extract.sound`"),
        Flag("--nofinetune-head", "`train.head_epochs: 0`"),
        Flag("--finetune_head_epochs", "`train.head_epochs`"),
        Flag("--head-after", "none: the head is what follows the backbone, see `train.head`"),
        Flag("--backbone-after", "`train.backbone_after`, with `train.pretrained` or `train.load_checkpoint`"),
        Flag("--quick", "`train.quick`"),
        Flag("--batch-size", "`train.batch_size`, at least 2: batch normalization needs several windows"),
        Flag("--num-workers", "`train.workers`"),
        Flag("--lr-warmup", "`train.start_rate`, from which the rate rises for `train.warm_up` of the steps"),
        Flag(
            "--lr",
            "`train.learning_rate`; none beside `--lr-onecycle-max`: one cycle rises from `train.start_rate` to its "
            "peak and falls to 0",
        ),
        Flag("--lr-onecycle-max", "`train.learning_rate`, with `train.schedule: one_cycle`"),
        Flag("--augmentations", "`train.augmentations`"),
        Flag("--aug-kwargs", "settings of each augmentation, see below"),
        Flag("--metric", "`train.metric`"),
        Flag("--metric-mode", "`train.metric_mode`"),
    ],
    "run_test.py": [
        Flag("--dataset-paths", "`--dataset_paths` of `stages.test`"),
        Flag("--ckpt", "`--model` or `--ckpt` of `stages.test`"),
        Flag("--path-models", "`--model` of `stages.test`, which may be a folder of checkpoints"),
        Flag("--batch-size", "`infer.batch_size`"),
        Flag("--num-workers", "`infer.workers`"),
        Flag("--device", "`infer.device`: auto, cpu, cuda or mps"),
        Flag("--out-dir", "`--out_dir` of `stages.test`"),
        Flag("--save-roc", "`--save_roc` of `stages.test`"),
        Flag("--save-metric-hist", "`--save_metric_hist` of `stages.test`"),
        Flag("--save-confusion", "`--save_confusion` of `stages.test`"),
        Flag("--save-instrument-metrics", "`--save_instrument_metrics` of `stages.test`"),
    ],
    "main.py": [
        Flag("--host", "`serve.host`"),
        Flag("--port", "`serve.port`"),
        Flag("--model-dir", "`serve.model_dir`"),
        Flag("--device", "`infer.device`"),
        Flag("--batch-size", "`infer.batch_size`"),
        Flag("--num-workers", "`serve.workers`"),
        Flag("--add-instrument-metrics", "`serve.add_instrument_metrics`"),
        Flag("--hot-reload", "none: restart the server after a change of its code"),
    ],
}
"""Flags of Lumen's programs. Settings are flags of a stage, too: `python -m stages.train --backbone convnext_tiny`."""

AUGMENTATION_SETTINGS = [
    Flag("stretch_factors", "`train.augmentations.time_stretch.factors`, the lowest and the highest"),
    Flag("freq_mask_param", "`train.augmentations.freq_mask.bands`, the most that a mask covers"),
    Flag("sum_n_samples", "`train.augmentations.sum_n_samples.n`"),
]
"""Keys of --aug-kwargs that the document names."""

_INSTRUMENTS = "-S data.train.path=data/irmas/train -S data.test.path=data/irmas/test"
_TINY = "dvc exp run -S train.backbone=convnext_tiny"
COMMANDS = [
    Command("train a whole model", f"{_TINY} {_INSTRUMENTS}"),
    Command("try it on a reduced set, in small batches", f"{_TINY} -S train.quick=true -S train.batch_size=2"),
    Command("use less of the machine", f"{_TINY} -S train.batch_size=2 -S train.workers=1"),
    Command("train the head alone", f"{_TINY} -S train.pretrained=true -S train.freeze_backbone=true"),
    Command(
        "the head for 5 epochs, then the backbone from a layer on",
        f"{_TINY} -S train.pretrained=true -S train.head_epochs=5 -S train.backbone_after=stages.3",
    ),
    Command(
        "the same with learning rates",
        f"{_TINY} -S train.pretrained=true -S train.head_epochs=5 -S train.backbone_after=stages.3 "
        "-S train.schedule=one_cycle -S train.start_rate=5e-5 -S train.learning_rate=1e-4",
    ),
    Command(
        "augment",
        "dvc exp run -S extract.sound=true -S 'train.augmentations=[time_stretch,time_shift,pitch,freq_mask]'",
    ),
    Command(
        "stop by another metric",
        "dvc exp run -S train.metric=val_f1 -S train.metric_mode=max -S train.keep=best -S train.stop_after=5",
    ),
    Command("label clips", "python -m stages.test --dataset_paths data/irmas/test --ckpt data/models/model.pt"),
    Command("test", "python -m stages.test --dataset_paths irmastest:data/irmas/test --ckpt data/models/model.pt"),
    Command(
        "test with pictures",
        "python -m stages.test --dataset_paths irmastest:data/irmas/test --save_metric_hist --save_confusion "
        "--save_instrument_metrics --save_roc",
    ),
    Command(
        "serve",
        "python -m stages.serve --model-dir data/models --host localhost --port 8090 --batch-size 2 --num-workers 4 "
        "--add-instrument-metrics",
    ),
    Command("list models", "curl http://localhost:8090/models"),
    Command(
        "label uploaded clips",
        "curl -F audio_files=@clip.wav 'http://localhost:8090/model/predict-files?model_ckpt_path=model.pt'",
    ),
    Command(
        "label a directory",
        "curl --json '[\"sample/test/recordings\"]' "
        "'http://localhost:8090/model/predict-directory?model_ckpt_path=model.pt'",
    ),
    Command(
        "test a directory",
        'curl --json \'[{"dataset_type": "segments", "dataset_path": "sample/test"}]\' '
        "'http://localhost:8090/model/test-directory?model_ckpt_path=model.pt'",
    ),
    Command("see training logs", "mlflow ui --backend-store-uri sqlite:///mlflow.db"),
]
"""The document's example commands, in its order."""


def page_lines() -> Iterator[str]:
    """The page, as Markdown."""
    yield "# Settings by Lumen's names"
    yield ""
    yield "What the flags and values of Lumen's technical documentation are called in [params.yaml](../params.yaml)."
    titled = {f"Flags of {program}": flags for program, flags in FLAGS.items()}
    for title, flags in (titled | {"Keys of --aug-kwargs": AUGMENTATION_SETTINGS}).items():
        yield from _table(title, ("Lumen", "here"), [(f"`{flag.theirs}`", flag.here) for flag in flags])
    for name, values in ENUMERATIONS.items():
        rows = [
            (value.theirs, f"`{value.setting}: {value.value}`" if value.setting else value.value) for value in values
        ]
        yield from _table(name, ("Lumen", "here"), rows)
    yield from _table("Commands", ("to", "here"), [(each.purpose, f"`{each.here}`") for each in COMMANDS])


def _table(title: str, heads: tuple[str, str], rows: list[tuple[str, str]]) -> Iterator[str]:
    yield from ("", f"## {title}", "", f"| {heads[0]} | {heads[1]} |", "| --- | --- |")
    for row in rows:
        yield f"| {row[0]} | {row[1]} |"


if __name__ == "__main__":
    write_text(PAGE, "\n".join(page_lines()) + "\n")
