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
    curation: str = "sqlite:///data/curation.db",
    project: str = "review",
) -> None:
    """Serve a page on which people decide about sounds, by keyboard, until stopped; ? on it shows the keys.

    The page shows what infer found, what is annotated, and, as similar sounds, any recording with embeddings.

    Examples:
        python -m stages.review
        python -m stages.review --labels data/field --by ana
        python -m stages.review --curation postgresql://localhost/curation --project frogs
        python -m stages.review --host 0.0.0.0 --allowed_hosts sounds.example.org --token_file token

    Args:
        labels: folder that infer wrote.
        report: folder that evaluate wrote, for its figures.
        store: embeddings that the embed stage wrote, for similar sounds and the map.
        by: who decides; default: the user. People can change it on the page.
        curation: SQLAlchemy URL of the curation database, which has the issues and work queues of the page.
        project: name of the project there; it is created when the first issue is looked for or made.
    """
    from lib.curation.chosen_sounds import current_user
    from lib.curation.reviewed_issues import ReviewedIssues
    from lib.server.review.review_app import make_review_app
    from lib.server.review.reviewed_project import ReviewedProject
    from lib.server.serving import exposure, read_token, serve_until_stopped

    token = read_token(settings.review, "review")
    show_problems(exposure(settings.review, token, "review"))
    reviewed = ReviewedProject(settings, labels, report, by or current_user(), store)
    show_problems(reviewed.index.problems)
    issues = ReviewedIssues(settings, labels, curation, project)
    serve_until_stopped(make_review_app(settings, reviewed, token, issues), settings.review, "review")


if __name__ == "__main__":
    run_stage(review)
