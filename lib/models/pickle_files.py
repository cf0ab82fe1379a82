"""Whether a file is a pickle, whatever it is called: a program that runs when it is loaded.

A file is read as an unpickler would read it, without keeping what it makes: only how many objects are on the stack is
known, and whether something was imported. So text and tensors, which go wrong after a few bytes, are told from pickles,
however much stands before the instruction that calls something, and whether or not what follows can be read.
"""

import pickletools
import re
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from typing import IO

from lib.core.files import open_regular

RUNNING = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
"""Instructions that call something."""
IMPORTING = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
NAMES = re.compile(r"[\w.-]+\n[\w.]+\n")
"""A module and what it holds, as GLOBAL and INST name them; prose has more words on a line."""
LINES = {"STRING": re.compile(rb"'.*'\s*|\".*\"\s*", re.DOTALL)} | dict.fromkeys(
    ("INT", "LONG", "FLOAT", "GET", "PUT"), re.compile(rb"[\s\d+._a-fxoilnty-]*", re.IGNORECASE)
)
"""What may stand on the line of an argument, at most."""
OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
COUNTS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
"""Bytes of the number that says how long an argument is."""
LONGEST_LINE = 2**16
"""Bytes of an argument that ends with its line, so far as it is looked at."""
MOST_OPCODES = 200_000
"""No file of another kind can be read so far."""


class _NoPickle(Exception):
    """An unpickler cannot read on."""


def is_pickle(path: str | Path) -> bool:
    """Whether a file begins as pickles of today do, or would call or import something before an unpickler fails on it.

    Raises OSError.
    """
    with BufferedReader(open_regular(path)) as file:
        if file.peek(2)[:2] in {b"\x80" + bytes([protocol]) for protocol in range(2, 6)}:
            return True
        try:
            return _calls_something(file, Path(path).stat().st_size)
        except _NoPickle:
            return False


def _calls_something(file: IO[bytes], n_bytes: int) -> bool:
    """Raises _NoPickle where an unpickler would fail, if it called nothing before that."""
    frames = [0]  # numbers of objects on the stack, by the marks between them
    modules: list[str] = []
    names: set[str] = set()  # of the instructions so far
    for _ in range(MOST_OPCODES):
        opcode = OPCODES.get(file.read(1))
        if opcode is None:
            raise _NoPickle
        line = _argument(file, opcode, n_bytes)
        _change_stack(frames, opcode)
        if opcode.name in IMPORTING:
            modules.append(line.partition("\n")[0])
        if modules and (opcode.name in RUNNING or opcode.name == "STOP"):
            return names != {"GLOBAL"} or any(map(_is_installed, modules))  # else it is a list of words
        names.add(opcode.name)
        if opcode.name == "STOP":
            frames = [0]  # another pickle may follow, as in old checkpoints
    return True


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module.partition(".")[0]) is not None
    except (ValueError, ImportError):
        return False


def _argument(file: IO[bytes], opcode: pickletools.OpcodeInfo, n_bytes: int) -> str:
    """Pass over an argument; returns the two lines of an import. Raises _NoPickle if it is none."""
    if opcode.arg is None:
        return ""
    n = opcode.arg.n
    if opcode.arg is pickletools.stringnl_noescape_pair:
        lines = b"".join(_line(file) for _ in range(2)).decode("utf-8", "replace")
        if not NAMES.fullmatch(lines):
            raise _NoPickle
        return lines
    if n == pickletools.UP_TO_NEWLINE:
        line = _line(file)
        if len(line) < LONGEST_LINE and opcode.name in LINES and not LINES[opcode.name].fullmatch(line):
            raise _NoPickle
        return ""
    if n in COUNTS:
        n = int.from_bytes(file.read(COUNTS[n]), "little", signed=n == pickletools.TAKEN_FROM_ARGUMENT4)
    if n < 0 or file.tell() + n > n_bytes:
        raise _NoPickle
    file.seek(n, 1)
    return ""


def _line(file: IO[bytes]) -> bytes:
    """The rest of a line, at most LONGEST_LINE bytes of it. Raises _NoPickle if it never ends."""
    line = end = file.readline(LONGEST_LINE)
    while not end.endswith(b"\n"):
        if not (end := file.readline(LONGEST_LINE)):
            raise _NoPickle
    return line


def _change_stack(frames: list[int], opcode: pickletools.OpcodeInfo) -> None:
    """Take from the stack what an instruction takes, and add what it gives. Raises _NoPickle if it is not there."""
    before, after = list(opcode.stack_before), list(opcode.stack_after)
    if opcode.name == "POP" and not frames[-1] and len(frames) > 1:
        frames.pop()  # which takes a mark, too
        return
    if pickletools.markobject in before:
        place = before.index(pickletools.markobject)
        if len(frames) == 1 or frames.pop() < sum(each is not pickletools.stackslice for each in before[place + 1 :]):
            raise _NoPickle
        before = before[:place]
    if frames[-1] < len(before):
        raise _NoPickle
    frames[-1] -= len(before)
    if pickletools.markobject in after:
        frames.append(0)
    else:
        frames[-1] += len(after)
