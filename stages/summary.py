"""Show the outcome of the pipeline: metrics/report -> its summary, and where to look further."""

from pathlib import Path

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.errors import EarshotError


@stage("tracking")
def summary(settings: Settings, report: str = "metrics/report") -> None:
    """Print the evaluation's summary.

    Args:
        report: folder that the evaluate stage wrote.
    """
    from lib.core.files import without_password
    from lib.tracking.mlflow_store import store_uri

    try:
        text = (Path(report) / "summary.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EarshotError(report, "holds no summary.txt", "run `dvc repro` to evaluate") from None
    print(text)
    print(f"Tables and pictures:  {report}")
    uri = without_password(store_uri(settings.tracking))
    print(f"Compare runs:         .venv/bin/mlflow ui --backend-store-uri {uri}")


if __name__ == "__main__":
    run_stage(summary)
