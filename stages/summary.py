"""Show the outcome of the pipeline: metrics/report in → its summary, and where to look further."""

from pathlib import Path

from lib.config import load_settings
from lib.console import run_stage
from lib.errors import EarshotError


def summary(params: str = "params.yaml", report: str = "metrics/report", **overrides):
    """Print the evaluation's summary.

    Args:
        params: YAML file of settings.
        report: folder that the evaluate stage wrote.
        overrides: any setting, as --key (of section tracking) or --section.key.
    """
    settings = load_settings(params, overrides, section="tracking")
    from lib.tracking.store import store_uri

    try:
        text = (Path(report) / "summary.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EarshotError(f"{report}: holds no summary.txt; run `dvc repro` to evaluate") from None
    print(text)
    print(f"Tables and pictures:  {report}")
    print(f"Compare runs:         .venv/bin/mlflow ui --backend-store-uri {store_uri(settings.tracking)}")


if __name__ == "__main__":
    run_stage(summary)
