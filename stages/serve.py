"""Serve models: recordings in, the classes that sound in them out, through a REST API and a page."""

from lib.config.command_line import run_stage, stage
from lib.config.load import with_changes
from lib.config.schema import Settings
from lib.core.console import show_problems


@stage("serve", "infer", batch_size="infer.batch_size", device="infer.device", num_workers="workers")
def serve(settings: Settings) -> None:
    """Answer requests until stopped; the page is at /, the API's description at /docs.

    Clients name models and folders by their paths below --model_dir and --data_dir, and reach nothing else. A class is
    present in a recording where the mean of its windows' scores reaches infer.min_score or the model's own threshold.

    Examples:
        python -m stages.serve
        python -m stages.serve --model_dir data/models --port 8090 --workers 4 --add_instrument_metrics
        python -m stages.serve --model_dir registry:frogs@champion
        python -m stages.serve --host 0.0.0.0 --allowed_hosts sounds.example.org --token_file token
    """
    from lib.server.app import make_app
    from lib.server.serving import exposure, read_token, serve_until_stopped
    from lib.tracking.registry.registered_inputs import chosen_model

    token = read_token(settings.serve)
    show_problems(exposure(settings.serve, token))
    models, model_id = chosen_model(settings.serve.model_dir, settings.tracking)
    folder = models.parent if model_id and models.is_file() else models
    settings = with_changes(settings, {"serve.model_dir": str(folder)})
    serve_until_stopped(make_app(settings, token), settings.serve)


if __name__ == "__main__":
    run_stage(serve)
