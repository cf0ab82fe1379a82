"""The command line of a stage: flags and settings in, errors as lines out.

A stage is a function whose first argument is the settings, unless it needs none; its others are its flags. Besides them
it takes those of COMMON, and any setting as a flag: `--key` for its own section, or `--section.key`.
"""

import difflib
import gc
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial, wraps
from typing import Any, get_args

from lib.config.load import PARAMS_FILE, load_settings
from lib.config.schema import Settings, section_model
from lib.core.errors import EarshotError, SettingsError, store_error

SWITCH_SECONDS = 5e-4
"""How long a thread waits for Python's lock, ten times shorter than usual: reading threads need it only for a moment
between long calls, and would else stand still while the main thread imports or computes in Python."""
HELP_WIDTH = 110
INTERRUPTED = 128 + 2
"""Exit status of what Ctrl-C (signal 2) ended, as shells have it."""
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}
COMMON = {
    "params": (PARAMS_FILE, "settings file"),
    "profile": ("", "settings for a kind of sound instead of those of the file, for this run: see stages.profile"),
}
"""Flags of stages that take settings: default and meaning."""
_KINDS = {int: "NUMBER", float: "NUMBER", bool: "", str: "TEXT"}


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
        common = _common_flags() if sections else []
        names, common_names = [flag.name for flag in flags], [flag.name for flag in common]
        positional = [flag for flag in flags if flag.kind is not flag.KEYWORD_ONLY]
        keys = list(section_model(sections[0]).model_fields) if sections else []
        moved = section_model(sections[0]).moved if sections else {}

        @wraps(function)
        def command(*arguments: Any, **values: Any) -> None:
            if len(arguments) > len(positional):
                raise SettingsError(str(arguments[len(positional)]), "is one argument too many", "see --help")
            values = {synonyms.get(name, name): value for name, value in values.items()}
            given = dict(zip(names, arguments, strict=False))
            given |= {name: values.pop(name) for name in names if name in values}
            for name in values:
                if name.partition(".")[0] not in (*keys, *(Settings.model_fields if sections else ()), *common_names):
                    if name in moved:
                        raise SettingsError(f"--{name}", f"is now --{moved[name]}", "see --help")
                    raise _unknown_flag(name, [*names, *synonyms, *common_names, *keys])
            _check_values(flags, given)
            if not sections:
                function(**given)
                return
            params, profile = values.pop("params", PARAMS_FILE), values.pop("profile", "")
            profile_settings = None
            if profile:
                from lib.config.profiles import profile_values

                profile_settings = profile_values(profile, params)
            function(load_settings(params, values, sections[0], profile_settings), **given)

        # Fire would answer a missing or superfluous argument in its own words, the latter after the work is done.
        optional = [flag.replace(default=None) if flag.default is flag.empty else flag for flag in positional]
        rest = inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)
        others = inspect.Parameter("values", inspect.Parameter.VAR_KEYWORD)
        shown = [*optional, rest, *flags[len(positional) :], *common, others]
        command.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        command._flags = [*flags, *common]  # type: ignore[attr-defined]
        command._sections = sections  # type: ignore[attr-defined]
        return command

    return decorate


def _common_flags() -> list[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, keyword, default=default, annotation=str) for name, (default, _) in COMMON.items()]


def _check_values(flags: list[inspect.Parameter], given: dict[str, Any]) -> None:
    """Raise SettingsError if a flag that is needed is missing, or one that needs a value has none."""
    for flag in flags:
        is_needed = flag.default is flag.empty
        if is_needed and given.get(flag.name) is None:
            raise SettingsError(flag.name.upper(), "is missing", "see --help")
        is_bare = str(given.get(flag.name)) == "True"  # what Fire makes of a flag without a value
        if is_bare and bool not in (flag.annotation, *get_args(flag.annotation)):
            raise SettingsError(flag.name.upper() if is_needed else f"--{flag.name}", "needs a value", "see --help")


def _unknown_flag(name: str, known: list[str]) -> SettingsError:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean --{close[0]}?" if close else ""
    return SettingsError(f"--{name}", f"is not a flag or setting of this stage{hint}", "see --help")


def run_stage(command: Callable[..., None]) -> None:
    """Run a stage from its command line with Fire; an EarshotError becomes its lines and exit status 1."""
    import fire

    _tune_process()
    name = f"python -m stages.{command.__name__}"
    if {"--help", "-h"} & set(sys.argv[1:]):  # a stage takes any setting as a flag, and would take these for one
        with suppress(BrokenPipeError):  # of `head` or `less`
            print(_help(command, name), flush=True)
        os._exit(0)
    fire.decorators.SetParseFn(str)(command)  # or 20240512_053000 would be taken for a number
    for flag in inspect.signature(command).parameters.values():
        if flag.annotation in _WORDS:
            fire.decorators.SetParseFn(partial(_typed, flag.name, flag.annotation), flag.name)(command)
    try:
        fire.Fire(command, name=name)
    except EarshotError as error:
        _fail(str(error))
    except BrokenPipeError:
        os._exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "check that the path exists, that you may write there and that it has room"
        _fail(f"{where}{error.strerror or error}; {remedy}")
    except _mlflow_errors() as error:
        _fail(str(store_error(error)))
    except KeyboardInterrupt as stop:
        _fail(str(stop) or "stopped; run the same command again to resume", INTERRUPTED)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is written: to take torch apart, object by object, takes half a second


def _mlflow_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises, also when its server is away; it takes seconds to import, so only if a stage did."""
    module = sys.modules.get("mlflow.exceptions")
    return (module.MlflowException,) if module else ()


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
    """The help of a stage: from its docstring its purpose, examples and flags; from the schema its settings."""
    from lib.config.documentation import settings_help

    settings = Settings()
    with suppress(EarshotError):  # none here, or one with faults
        settings = load_settings(PARAMS_FILE)
    text, _, described = inspect.getdoc(command).partition("\nArgs:\n")  # type: ignore[union-attr]
    meanings = {name: meaning for name, (_, meaning) in COMMON.items()} | dict(_meanings(described))
    flags: list[inspect.Parameter] = command._flags  # type: ignore[attr-defined]
    sections: tuple[str, ...] = command._sections  # type: ignore[attr-defined]
    arguments = [flag.name.upper() for flag in flags if flag.default is flag.empty]
    lines = [f"{' '.join([name, *arguments])} [flags]", "", text.strip(), "", "Flags:"]
    for flag in flags:
        lines += [f"    {_usage(flag)}", *_wrapped(meanings[flag.name])]
    for index, section in enumerate(sections):
        lines += ["", f"Settings of {section}, by default as in {PARAMS_FILE}:"]
        for name, meaning in settings_help(section, settings, in_full=index > 0):
            lines += [f"    {name}", *_wrapped(meaning)]
    if sections:
        lines += ["", f"Any other setting of {PARAMS_FILE} can be given as --section.key."]
    return "\n".join(lines)


def _wrapped(meaning: str) -> list[str]:
    """What a flag means, in lines."""
    indent = 8 * " "
    text = meaning.removesuffix(".") if ". " not in meaning else meaning
    return textwrap.wrap(text, HELP_WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _usage(flag: inspect.Parameter) -> str:
    """A flag, what follows it, and its default."""
    if flag.default is flag.empty:
        return flag.name.upper()
    kinds = [kind for kind in _KINDS if kind in (flag.annotation, *get_args(flag.annotation))]
    value = f" {_KINDS[kinds[0]]}" if kinds and _KINDS[kinds[0]] else ""
    value = f" [{_KINDS[str]}]" if {str, bool} <= {*kinds} else value
    has_default = flag.default is not None and flag.default is not False and flag.default != ""
    default = f" (default: {flag.default})" if has_default else ""
    return f"--{flag.name}{value}{default}"


def _meanings(described: str) -> Iterator[tuple[str, str]]:
    """Name and meaning of each flag in the Args section of a docstring."""
    for entry in re.split(r"\n(?=    \w)", f"\n{described.rstrip()}")[1:]:
        name, _, meaning = entry.partition(":")
        yield name.strip(), " ".join(meaning.split())


def _typed(key: str, kind: type, text: str) -> int | float | bool:
    """The value of a flag of that type. Raises SettingsError."""
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise SettingsError(f"--{key} = {text!r}", f"must be {_WORDS[kind]}") from None


def _fail(message: str, status: int = 1) -> None:
    """Print an error's lines and leave with that exit status."""
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(status)
