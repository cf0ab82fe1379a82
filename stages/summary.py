"""Show the outcome of the pipeline: metrics/report -> its summary, and where to look further."""

from pathlib import Path

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.errors import EarshotError


@stage("tracking")
def summary(settings: Settings, report: str = "metrics/report") -> None:
    """Print the evaluation's summary.

    Examples:
        python -m stages.summary

    Args:
        report: folder that the evaluate stage wrote.
    """
    from lib.tracking.mlflow_store import runs_page

    try:
        text = (Path(report) / "summary.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EarshotError(report, "holds no summary.txt", "run `dvc repro` to evaluate") from None
    print(text)
    print(f"Tables and pictures:  {report}")
    command, address = runs_page(settings.tracking)
    print(f"Compare runs:         {f'{command}, then open' if command else 'open'}")
    print(f"                      {address}")


if __name__ == "__main__":
    run_stage(summary)
