"""The card of a model: what those need to know who use a model that they did not train.

It is made of what the pipeline knows, and of what it cannot know, which is written by hand in
`data/inputs/model_card.yaml`:

    license: CC-BY-4.0
    contact: frogs@example.org
    intended_use: calls of frogs at ponds, from dusk to midnight
    taxonomy: Amphibian Species of the World 6.2
    training_data: {source: recorded for this project, license: CC-BY-4.0, region: Queensland}

All of these may be missing; the card says so.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from lib.config.faults import validated
from lib.config.inputs import INPUTS
from lib.config.schema import InferSettings
from lib.config.setting_values import YamlLoader
from lib.core.errors import SettingsError
from lib.core.files import read_text, write_json, write_text
from lib.core.wording import counted
from lib.evaluation.figures import MEASURED, title
from lib.models.description import Description
from lib.models.platt_scaling import AS_IT_IS
from lib.models.port_meanings import port_meanings
from lib.models.score_scaling import SAME_SCORE, min_scores, scaling_of

FILE = INPUTS / "model_card.yaml"
"""What is written by hand."""
MARKDOWN, JSON = "model_card.md", "model_card.json"
"""Files of the card beside a model."""
METADATA_KEY = "model_card"
"""Of a card in an ONNX file."""
NOT_GIVEN = "not given"
NOT_CALIBRATED = "none; scores are not calibrated probabilities"
N_HEADINGS = 2
"""Lines of a table before its rows."""
LONGEST = 4500
"""Characters of a card in the registry: MLflow's databases hold 5000 of a description."""
TAG = "earshot.card."
"""How the tags of a registered model begin that say what its card says."""
LONGEST_KEY, LONGEST_TAG = 250, 400


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataOrigin(_Part):
    """Where training data are from."""

    source: str | None = None
    license: str | None = None
    region: str | None = None


class CardInputs(_Part):
    """What is written by hand in a card.

    calibrated_on: the recordings on which the scores were calibrated. taxonomy: that the names and codes are from.
    """

    license: str | None = None
    contact: str | None = None
    authors: str | None = None
    intended_use: str | None = None
    limitations: str | None = None
    citation: str | None = None
    taxonomy: str | None = None
    calibrated_on: str | None = None
    training_data: DataOrigin = DataOrigin()


class Provenance(NamedTuple):
    """Who and what made a model, as far as that is known; see the fields of ModelCard."""

    details: CardInputs = CardInputs()
    experiment: str = ""
    data: Mapping[str, str] = {}
    commit: str = ""
    code_changed: bool = False
    date: str = ""


class ModelInput(_Part):
    """What a model takes. Seconds and Hz; meaning: in words."""

    sampling_rate: int
    window_seconds: float
    hop_seconds: float
    min_freq: float
    max_freq: float
    frontend: str
    meaning: str


class ScoreMeaning(_Part):
    """What scores are. coefficient and intercept: of their Platt scaling; None: there is none."""

    meaning: str
    coefficient: float | None
    intercept: float | None


class CardClass(_Part):
    """A class, and the score from which it is labelled."""

    name: str
    code: str
    alt_name: str
    alt_code: str
    threshold: float


class CardFigure(_Part):
    """A figure of the test, with the bounds of its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class ModelCard(_Part):
    """All of a card.

    Args:
        name: of the model.
        experiment: of DVC, or of the run.
        details: what is written by hand.
        backbone: name of the network.
        training: how it was trained, such as the number of windows.
        data: md5 that DVC recorded, by path, of what the model was made from and tested on.
        test: figures by name.
        commit: of the code; "": not known.
        code_changed: whether the code differed from the commit.
        date: of the evaluation, YYYY-MM-DD in UTC; "": not known.
        weights: SHA-256 of the files, by path.
        outputs: names of the outputs in an exported ONNX file, and what they are.
    """

    name: str
    experiment: str
    details: CardInputs
    backbone: str
    input: ModelInput
    scores: ScoreMeaning
    classes: list[CardClass]
    training: dict[str, Any]
    data: dict[str, str]
    test: dict[str, CardFigure]
    commit: str
    code_changed: bool
    date: str = ""
    weights: dict[str, str]
    outputs: dict[str, str]

    def markdown(self, longest: int | None = None) -> str:
        """The card for people; with `longest`, as many classes as that number of characters has room for."""
        classes = list(_class_rows(self.classes))
        text = "\n".join([*self._lines(), *classes])
        while longest is not None and len(text) > longest and len(classes) > N_HEADINGS:
            del classes[-max(1, len(classes) // 4) :]
            classes = classes[: max(len(classes), N_HEADINGS)]
            left = len(self.classes) - (len(classes) - N_HEADINGS)
            text = "\n".join([*self._lines(), *classes, "", f"and {counted(left, 'class', 'classes')} more"])
        return text if longest is None else text[:longest]

    def _lines(self) -> Iterator[str]:
        details, origin = self.details, self.details.training_data
        yield f"# {self.name}"
        yield ""
        yield from _list(
            {
                "license": details.license,
                "contact": details.contact,
                "authors": details.authors,
                "intended use": details.intended_use,
                "limitations": details.limitations,
                "citation": details.citation,
            }
            | ({"experiment": self.experiment} if self.experiment else {})
            | ({"date": self.date} if self.date else {})
        )
        yield from ("", "## Test", "")
        if self.test:
            yield from ("| figure | value | 95 % interval |", "| --- | --- | --- |")
            yield from (f"| {title(name)} | {each.value:.3f} | {_interval(each)} |" for name, each in self.test.items())
        else:
            yield NOT_GIVEN
        yield from ("", "## Input", "")
        yield from _list(
            {
                "sampling rate": f"{self.input.sampling_rate} Hz",
                "window": f"{self.input.window_seconds:g} s, one each {self.input.hop_seconds:g} s",
                "band": f"{self.input.min_freq:g} to {self.input.max_freq:g} Hz",
                "frontend": self.input.frontend,
                "normalization": self.input.meaning,
                "network": self.backbone,
            }
        )
        yield from ("", "## Scores", "")
        scaling = NOT_CALIBRATED
        if self.scores.coefficient is not None:
            scaling = f"Platt scaling, coefficient {self.scores.coefficient:g}, intercept {self.scores.intercept:g}"
        yield from _list({"meaning": self.scores.meaning, "calibration": scaling})
        if self.scores.coefficient is not None:
            yield from _list({"calibrated on": details.calibrated_on})
        yield from _list({f"ONNX output `{name}`": meaning for name, meaning in self.outputs.items()})
        yield from ("", "## Training data", "")
        yield from _list({"source": origin.source, "license": origin.license, "region": origin.region})
        yield from _list({key: str(value) for key, value in self.training.items()})
        yield from ("", "## Hashes", "")
        changed = " with changes" if self.code_changed else ""
        yield from _list({"code": f"commit {self.commit}{changed}" if self.commit else None})
        yield from _list({f"data `{path}`": f"md5 {md5}" for path, md5 in self.data.items()} or {"data": None})
        yield from _list({f"weights `{path}`": f"SHA-256 {digest}" for path, digest in self.weights.items()})
        yield from ("", f"## Classes ({len(self.classes)})", "")
        yield from _list({"taxonomy": details.taxonomy})
        yield ""

    def tags(self) -> dict[str, str]:
        """What of the card can be searched for in the registry, as tags of a version."""
        details = {key: value for key, value in self.details.model_dump().items() if isinstance(value, str)}
        origin = {f"training_data.{key}": value for key, value in self.details.training_data.model_dump().items()}
        content = details | origin | self.input.model_dump(exclude={"meaning"})
        content |= {"n_classes": len(self.classes)}
        content |= {"experiment": self.experiment, "commit": self.commit, "date": self.date}
        content |= {f"data.{_tag_name(path)}": md5 for path, md5 in self.data.items()}
        for name, figure in self.test.items():
            interval = _interval(figure)
            content[f"test.{_tag_name(name)}"] = f"{figure.value:.4f}" + (f" ({interval})" if interval else "")
        return {
            (TAG + key)[:LONGEST_KEY]: str(value)[:LONGEST_TAG]
            for key, value in content.items()
            if value not in (None, "")
        }


def read_card_inputs(path: Path = FILE) -> CardInputs:
    """What is written by hand in a card; without a file, nothing. Raises SettingsError if it cannot be that."""
    try:
        content = yaml.load(read_text(path), YamlLoader)
    except FileNotFoundError:
        return CardInputs()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise SettingsError(path, f"cannot be read ({' '.join(str(error).split())})", "fix the file") from None
    return validated(CardInputs, {} if content is None else content, f"{path}: ")


def make_card(
    name: str,
    descriptions: Sequence[Description],
    infer: InferSettings,
    figures: Mapping[str, float],
    weights: Mapping[str, str],
    origin: Provenance = Provenance(),  # noqa: B008 (it never changes)
) -> ModelCard:
    """The card of a model.

    Args:
        descriptions: of its checkpoints, one or more, whose classes and audio settings are the same.
        infer: settings that its labels are made with.
        figures: of the test, with the bounds of their intervals as `<name>_low` and `<name>_high`.
        origin: of the model; default: nothing is known.

    The others are as in ModelCard.
    """
    first = descriptions[0]
    audio, scaling = first.audio, scaling_of(infer, first)
    takes, *outputs = port_meanings(first, first.window_shapes[0]).items()
    kind = "a sigmoid of the logit of each class by itself" if first.multi_label else "a softmax over the classes"
    kind += ", averaged over the models" if len(descriptions) > 1 else ""
    is_calibrated = scaling != AS_IT_IS
    thresholds = min_scores(infer, list(descriptions)) + SAME_SCORE
    return ModelCard(
        name=name,
        experiment=origin.experiment,
        details=origin.details,
        backbone=first.backbone_name,
        input=ModelInput(
            sampling_rate=audio.sampling_rate,
            window_seconds=audio.spec_duration,
            hop_seconds=round(audio.spec_duration - infer.overlap, 6),
            min_freq=audio.min_freq,
            max_freq=audio.max_freq,
            frontend=first.frontend,
            meaning=takes[1],
        ),
        scores=ScoreMeaning(
            meaning=f"probability in 0..1: {kind}" if is_calibrated else f"score in 0..1: {kind}",
            coefficient=scaling[0] if is_calibrated else None,
            intercept=scaling[1] if is_calibrated else None,
        ),
        classes=[
            CardClass(
                **{key: entry.get(key, "") for key in ("name", "code", "alt_name", "alt_code")},
                threshold=round(float(threshold), 5),
            )
            for entry, threshold in zip(first.classes, thresholds, strict=True)
        ],
        training={key: value for key, value in first.training.items() if isinstance(value, int | float | str)},
        data=dict(origin.data),
        test={
            name: CardFigure(value=figures[name], low=figures.get(f"{name}_low"), high=figures.get(f"{name}_high"))
            for name in MEASURED
            if name in figures
        },
        commit=origin.commit,
        code_changed=origin.code_changed,
        date=origin.date,
        weights=dict(weights),
        outputs=dict(outputs),
    )


def write_card(folder: Path, card: ModelCard) -> None:
    """Write a card into a folder, as Markdown and JSON."""
    write_text(folder / MARKDOWN, card.markdown() + "\n")
    write_json(folder / JSON, card.model_dump())


def card_metadata(card: ModelCard) -> dict[str, str]:
    """A card as metadata of an ONNX file."""
    return {METADATA_KEY: json.dumps(card.model_dump(), ensure_ascii=False)}


def _list(entries: Mapping[str, str | None]) -> Iterable[str]:
    return (f"- {name}: {' '.join(text.split()) if text else NOT_GIVEN}" for name, text in entries.items())


def _class_rows(classes: Iterable[CardClass]) -> Iterator[str]:
    yield "| class | code | other name | other code | threshold |"
    yield "| --- | --- | --- | --- | --- |"
    for each in classes:
        names = (each.name, each.code, each.alt_name, each.alt_code)
        yield f"| {' | '.join(name.replace('|', '/') for name in names)} | {each.threshold:g} |"


def _interval(figure: CardFigure) -> str:
    return "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _tag_name(path: str) -> str:
    """A path with the characters that MLflow allows in the key of a tag."""
    return "".join(each if each.isalnum() or each in "_-. /" else "_" for each in path)
