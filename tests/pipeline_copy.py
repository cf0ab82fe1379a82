"""A copy of the project with small data, in which DVC runs the real stages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from lib.config.documentation import params_text
from lib.config.inputs import INPUTS, REGISTERED
from lib.config.load import load_settings
from lib.sound.decisions import append_decisions
from tests.tracking.tiny import PLAIN, QUICK
from tests.training_data.builders import write_data_set, write_params

PROJECT = Path(__file__).parents[1]
COMMAND = ("dvc", "repro", "evaluate")


class PipelineCopy:
    """A project in `folder`, whose data are six recordings.

    with_git: it is a repository of git, as experiments need it. environment: of its processes.
    """

    def __init__(self, folder: Path, mlflow_uri: str, with_git: bool = False) -> None:
        self.folder = folder
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))}
        self.environment = inherited | {
            "MLFLOW_TRACKING_URI": mlflow_uri,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        for name in ("lib", "stages"):
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "dvc.yaml", folder)
        write_data_set(folder / "set", 6)
        (folder / "data").mkdir()
        append_decisions(folder / "data/decisions.csv", [])
        for place in (
            "occurrences",
            "data/reviewed",
            "data/scenarios",
            INPUTS,
            REGISTERED / "train",
            REGISTERED / "infer",
        ):
            (folder / place).mkdir(parents=True)
            (folder / place / ".gitkeep").touch()  # DVC takes an empty folder for none
        params = write_params(
            folder / "params.yaml",
            Path("set"),
            occurrences={"path": "occurrences"},
            train=QUICK | PLAIN,
            infer=PLAIN | {"overlap": 0.25},
            evaluate={"min_seconds": 0.2, "bootstrap": 0},
            tracking={"log_model": False},
        )
        params.write_text(params_text(load_settings(params)))  # DVC wants the keys that dvc.yaml names
        if with_git:
            (folder / ".git/info").mkdir(parents=True)
            (folder / ".git/info/exclude").write_text("/site\n/mlartifacts\n")
            for name in (".gitignore", ".dvcignore", "data/.gitignore"):
                shutil.copy(PROJECT / name, folder / name)
            self.call("git", "init", "-q")
        self.call("dvc", "init", "-q", *([] if with_git else ["--no-scm"]))
        self.call("dvc", "config", "core.analytics", "false")

    def call(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self) -> tuple[str, dict[str, str]]:
        """Run `dvc repro`; returns what it prints, and the md5 of each output."""
        printed = self.call(*COMMAND)
        return printed, {out["path"]: out["md5"] for stage in self.locked().values() for out in stage["outs"]}

    def locked(self) -> dict[str, dict]:
        """What DVC recorded of each stage."""
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
