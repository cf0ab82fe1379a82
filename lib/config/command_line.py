"""The command line of a stage: flags and settings in, errors as lines out.

A stage is a function whose first argument is the settings, unless it needs none; its others are its flags. Besides them
it takes `params`, a settings file, and any setting as a flag: `--key` for its own section, or `--section.key`.
"""

import gc
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from lib.config.load import PARAMS_FILE, load_settings
from lib.core.errors import EarshotError, SettingsError

SWITCH_SECONDS = 5e-4
"""How long a thread waits for Python's lock, ten times shorter than usual: reading threads need it only for a moment
between long calls, and would else stand still while the main thread imports or computes in Python."""
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def stage(*sections: str, **synonyms: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a function as a stage.

    Args:
        sections: of the settings that the help lists, such as `data.test`; a key alone means one of the first. Without
            any, the stage needs no settings, and its function does not take them.
        synonyms: other names of flags -> the flags.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function)
        flags = list(signature.parameters.values())[bool(sections) :]

        @wraps(function)
        def command(*arguments: Any, params: str = PARAMS_FILE, **values: Any) -> None:
            given = signature.replace(parameters=flags).bind_partial(*arguments).arguments
            values = given | {synonyms.get(name, name): value for name, value in values.items()}
            given = {flag.name: values.pop(flag.name) for flag in flags if flag.name in values}
            if sections:
                function(load_settings(params, values, sections[0]), **given)
                return
            if values:
                raise SettingsError(f"--{next(iter(values))}", "is no flag of this stage", "see --help")
            function(**given)

        extra = list(inspect.signature(command, follow_wrapped=False).parameters.values())[1:]
        command.__signature__ = signature.replace(parameters=[*flags, *extra])  # type: ignore[attr-defined]
        command._sections = sections  # type: ignore[attr-defined]
        doc = inspect.cleandoc(function.__doc__ or "") + ("" if flags else "\n\nArgs:")
        command.__doc__ = f"{doc}\n    params: settings file."
        return command

    return decorate


def run_stage(command: Callable[..., None]) -> None:
    """Run a stage from its command line with Fire; an EarshotError becomes its lines and exit status 1."""
    import fire

    _tune_process()
    name = f"python -m stages.{command.__name__}"
    if {"--help", "-h"} & set(sys.argv[1:]):  # a stage takes any setting as a flag, and would take these for one
        print(_help(command, name))
        return
    fire.decorators.SetParseFn(str)(command)  # or 20240512_053000 would be taken for a number
    for flag in inspect.signature(command).parameters.values():
        if flag.annotation in _WORDS:
            fire.decorators.SetParseFn(partial(_typed, flag.name, flag.annotation), flag.name)(command)
    try:
        fire.Fire(command, name=name)
    except EarshotError as error:
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "check that the path exists, that you may write there and that it has room"
        _fail(f"{where}{error.strerror or error}; {remedy}")
    except KeyboardInterrupt:
        _fail("stopped; run the same command again to resume")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is written: to take torch apart, object by object, takes half a second


def _tune_process() -> None:
    """Settings of the whole process, which belongs to the stage."""
    # Threads that wait for each other give their processor away soon: two experiments at a time, or a busy machine,
    # take half as long, and a quiet one no longer. It must be said before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # Imports make some 100,000 objects that stay: looking for garbage among them at the usual rate takes 0.3 s.
    gc.set_threshold(100_000, 20, 20)
    sys.setswitchinterval(SWITCH_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _help(command: Callable[..., None], name: str) -> str:
    import fire

    from lib.config.documentation import settings_help

    text = fire.helptext.HelpText(command, fire.trace.FireTrace(command, name)).rstrip()
    sections: tuple[str, ...] = command._sections  # type: ignore[attr-defined]
    texts = [f"SETTINGS OF {name.upper()}\n{settings_help(name, bool(i))}" for i, name in enumerate(sections)]
    others = "Any other setting of params.yaml can be given as --section.key."
    return "\n\n".join([text, *texts, *([others] if texts else [])])


def _typed(key: str, kind: type, text: str) -> int | float | bool:
    """The value of a flag of that type. Raises SettingsError."""
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise SettingsError(f"--{key} = {text!r}", f"must be {_WORDS[kind]}") from None


def _fail(message: str) -> None:
    """Print an error's lines and leave with exit status 1."""
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(1)
