"""Any ONNX model as a frozen backbone, run by ONNX Runtime: waveforms or spectrograms in, embeddings out."""

import hashlib
import threading
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from lib.core.errors import EarshotError, SettingsError
from lib.models.onnx_card import INPUT_AXES, OUTPUT_AXES, OnnxOrigin
from lib.models.onnx_files import has_external_data

TRIES = 3
"""How often the first answer for a shape is asked for again until two agree."""
SAME = 1e-3
"""Answers agree if they differ by less than that share of the largest value."""


class OnnxModel:
    """A serialized ONNX model and its sessions, one for each kind of device.

    A runtime may return tensors that it has not filled when it meets a shape for the first time (OpenVINO does), so the
    first answer of each output for each shape is compared with a second one.

    Attributes:
        content: the model in one piece.
    """

    def __init__(self, content: bytes, name: str) -> None:
        if has_external_data(content):
            raise EarshotError(name, "its tensors lie in other files", "export it in one piece")
        self.content, self._name = content, name
        self._sessions: dict[str, Any] = {}
        self._checked: set[tuple[str, str, tuple[int, ...]]] = set()
        self._lock = threading.Lock()

    def session(self, device: str = "cpu") -> Any:
        """The session that computes on a kind of device. Raises EarshotError if there can be none."""
        import onnxruntime

        with self._lock:
            if device not in self._sessions:
                wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
                available = onnxruntime.get_available_providers()
                providers = [each for each in wanted if each in available] + ["CPUExecutionProvider"]
                options = onnxruntime.SessionOptions()
                options.log_severity_level = 4  # errors are raised as well
                options.intra_op_num_threads = torch.get_num_threads()
                try:
                    session = onnxruntime.InferenceSession(self.content, options, providers=providers)
                except Exception as error:  # of many kinds, none of them documented
                    raise self._cannot(error) from None
                self._sessions[device] = session
            return self._sessions[device]

    def run(self, feeds: dict[str, np.ndarray], output: str, device: str = "cpu") -> np.ndarray:
        """The output of that name. Raises EarshotError if the model cannot compute it, or not twice the same."""
        session = self.session(device)
        answer = self._answer(session, feeds, output)
        asked = device, output, next(iter(feeds.values())).shape
        if asked in self._checked:
            return answer
        for _ in range(TRIES):
            again = self._answer(session, feeds, output)
            if _agree(answer, again):
                self._checked.add(asked)
                return again
            answer = again
        fault = f"gives another {output} each time that it is asked"
        raise EarshotError(self._name, fault, "choose another output, or export the model again")

    def _answer(self, session: Any, feeds: dict[str, np.ndarray], output: str) -> np.ndarray:
        try:
            return np.asarray(session.run([output], feeds)[0], np.float32)
        except Exception as error:
            raise self._cannot(error) from None

    def _cannot(self, error: Exception) -> EarshotError:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return EarshotError(self._name, f"cannot be run by ONNX Runtime ({reason})", "export the model again")


def _agree(first: np.ndarray, second: np.ndarray) -> bool:
    scale = float(np.nan_to_num(np.abs(second), posinf=0).max(initial=0))
    return first.shape == second.shape and np.allclose(first, second, 0, SAME * scale, equal_nan=True)


_MODELS: WeakValueDictionary[str, OnnxModel] = WeakValueDictionary()
"""Models that are in use, by digest: those of an ensemble share one."""


def onnx_model(content: bytes, name: str) -> OnnxModel:
    """The model of these bytes. Raises EarshotError if it is not in one piece."""
    digest = hashlib.sha256(content).hexdigest()
    model = _MODELS.get(digest) or OnnxModel(content, name)
    return _MODELS.setdefault(digest, model)


class OnnxBackbone(nn.Module):
    """A frozen model: spectrograms (n, 1, height, width) or waveforms (n, samples) into feature maps (n, d, f, t).

    It has no weights of torch's and passes on no gradients. Copies share the model.

    Args:
        content: the serialized model.
        origin: what it is.
        size: of one window: (height, width) or (samples,).
        in_time: whether the last dimension of its features must be time.

    Attributes:
        n_windows: how many windows the model takes at a time, 0 if any number.

    Raises SettingsError if the model has no such input or output, or takes windows of another size.
    """

    def __init__(self, content: bytes, origin: OnnxOrigin, size: tuple[int, ...], in_time: bool = False) -> None:
        super().__init__()
        self.origin, self.model = origin, onnx_model(content, origin.name)
        self.takes = "waveforms" if origin.card.input.kind == "waveform" else "images"
        self.n_windows = _windows_at_a_time(self.model.session(), origin, size)
        output = origin.card.output
        if in_time and "t" not in output.layout:
            remedy = "set train.head to pool or deep, or name an output with time and its layout, for example ntd"
            raise SettingsError(f"{origin.name}: output {output.name}", "has no time", remedy)
        with torch.no_grad():
            self.num_features = self(torch.zeros(1, *([] if self.takes == "waveforms" else [1]), *size)).shape[1]

    def forward(self, x: Tensor) -> Tensor:
        windows = (x if self.takes == "waveforms" else x[:, 0]).detach().float().cpu().numpy()
        card = self.origin.card
        windows = arranged(windows, INPUT_AXES[card.input.kind], card.input.axes)
        features = arranged(self._run(windows, x.device.type), card.output.layout, OUTPUT_AXES)
        return torch.from_numpy(features).to(x.device)

    def _run(self, windows: np.ndarray, device: str) -> np.ndarray:
        """The output for windows in the layout of the input, as many at a time as the model takes."""
        card, n = self.origin.card, self.n_windows or len(windows)
        axis = card.input.axes.index("n")
        answers = []
        for start in range(0, windows.shape[axis], max(n, 1)):
            part = np.take(windows, range(start, min(start + n, windows.shape[axis])), axis)
            n_part = part.shape[axis]
            if n_part < n:  # the model takes no fewer
                part = np.concatenate([part, np.take(part, [0] * (n - n_part), axis)], axis)
            answer = self.model.run({card.input.name: np.ascontiguousarray(part)}, card.output.name, device)
            if answer.ndim != len(card.output.layout):
                fault = f"has the shape {answer.shape}, where the layout {card.output.layout} has other axes"
                remedy = "correct output.layout in its YAML file"
                raise SettingsError(f"{self.origin.name}: output {card.output.name}", fault, remedy)
            answers.append(np.take(answer, range(n_part), card.output.layout.index("n")))
        return np.concatenate(answers, card.output.layout.index("n"))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def arranged(values: np.ndarray, axes: str, wanted: str) -> np.ndarray:
    """An array with its axes, named by letters, in another order; those that it lacks have length 1.

    >>> arranged(np.zeros((2, 3, 4)), "nft", "nctf").shape
    (2, 1, 4, 3)
    """
    values = values.transpose([axes.index(axis) for axis in wanted if axis in axes])
    return np.expand_dims(values, [i for i, axis in enumerate(wanted) if axis not in axes])


def _windows_at_a_time(session: Any, origin: OnnxOrigin, size: tuple[int, ...]) -> int:
    """How many windows a model takes at a time, 0 if it takes any number.

    Raises SettingsError unless it has the card's input and output and takes windows of that size.
    """
    card = origin.card
    inputs = {port.name: port for port in session.get_inputs()}
    outputs = {port.name: port for port in session.get_outputs()}
    for kind, name, ports in (("input", card.input.name, inputs), ("output", card.output.name, outputs)):
        if name not in ports:
            raise SettingsError(
                f"{origin.name}: {kind} {name}", "there is none of that name", f"it has {', '.join(ports)}"
            )
    if others := [name for name in inputs if name != card.input.name]:
        raise SettingsError(origin.name, f"needs other inputs, too ({', '.join(others)})", "export it with one input")
    for kind, port in (("input", inputs[card.input.name]), ("output", outputs[card.output.name])):
        if port.type != "tensor(float)":
            raise SettingsError(f"{origin.name}: {kind} {port.name}", f"is a {port.type}", "export it with float32")
    shape = inputs[card.input.name].shape
    if len(shape) != len(card.input.axes):
        fault = f"has {len(shape)} axes, where the layout {card.input.axes} has {len(card.input.axes)}"
        raise SettingsError(f"{origin.name}: input {card.input.name}", fault, "correct input.layout in its YAML file")
    given = dict(zip(INPUT_AXES[card.input.kind], (0, *size), strict=True)) | {"c": 1}
    fixed = {axis: length for axis, length in zip(card.input.axes, shape, strict=True) if isinstance(length, int)}
    called = {"f": "bands", "t": "frames", "s": "samples", "c": "channels"}
    wrong = [
        f"{length} {called[axis]} instead of {given[axis]}"
        for axis, length in fixed.items()
        if axis != "n" and length != given[axis]
    ]
    if wrong:
        setting = "audio.spec_height, hop_length, sampling_rate or spec_duration"
        raise SettingsError(f"{origin.name}: input {card.input.name}", f"takes {', '.join(wrong)}", f"set {setting}")
    return max(0, fixed.get("n", 0))
