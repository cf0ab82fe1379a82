"""Review what a model found and missed: look, listen, decide -> data/decisions.csv, which `dvc repro` learns from."""

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems


@stage("review", "audio", "data.train", "data.test")
def review(
    settings: Settings,
    labels: str = "data/labels",
    report: str = "metrics/report",
    store: str = "data/embeddings.db",
    by: str | None = None,
) -> None:
    """Serve a page on which people decide about sounds, by keyboard, until stopped; ? on it shows the keys.

    The page shows what infer found, what is annotated, and, as similar sounds, any recording with embeddings.

    Examples:
        python -m stages.review
        python -m stages.review --labels data/field --by ana
        python -m stages.review --host 0.0.0.0 --allowed_hosts sounds.example.org --token_file token

    Args:
        labels: folder that infer wrote.
        report: folder that evaluate wrote, for its figures.
        store: embeddings that the embed stage wrote, for similar sounds and the map.
        by: who decides; default: the user. People can change it on the page.
    """
    from lib.curation.chosen_sounds import current_user
    from lib.server.review.review_app import make_review_app
    from lib.server.review.reviewed_project import ReviewedProject
    from lib.server.serving import exposure, read_token, serve_until_stopped

    token = read_token(settings.review, "review")
    show_problems(exposure(settings.review, token, "review"))
    project = ReviewedProject(settings, labels, report, by or current_user(), store)
    show_problems(project.index.problems)
    serve_until_stopped(make_review_app(settings, project, token), settings.review, "review")


if __name__ == "__main__":
    run_stage(review)
