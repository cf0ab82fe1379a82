"""Find, describe, publish, fetch and retire models: MLflow's registry from the shell."""

from json import dumps

from lib.config.command_line import run_stage, stage
from lib.config.schema import Settings
from lib.core.console import show_problems


@stage("tracking")
def registry(
    settings: Settings,
    action: str,
    model: str = "",
    value: str | None = None,
    name: str | None = None,
    project: str | None = None,
    tags: str = "",
    untag: str = "",
    published: bool = False,
    archived: bool = False,
    max: int = 0,
    metadata: str = "",
    url: str = "",
    config: str = "",
    labels: str = "",
    replace: bool = False,
    unset: str = "",
    comment: str | None = None,
    framework: str | None = None,
    package: bool = False,
    sha256: str | None = None,
    output: str | None = None,
    unpack: bool = False,
    keep_files: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Work with the registered models of the MLflow store.

    A model is named by NAME/VERSION, NAME@ALIAS, its id (m-...), or NAME: the version that was changed last. If
    an action changes which model a setting refers to, the copy in data/registry is updated, and a message says so.

    Examples:
        python -m stages.registry list --tags pond,-draft --published
        python -m stages.registry list --tags '__$all,best,__$not,internal' --json
        python -m stages.registry show frogs@champion
        python -m stages.registry publish frogs/3
        python -m stages.registry tag frogs/3 best,pond --untag draft
        python -m stages.registry alias frogs/3 champion
        python -m stages.registry unalias frogs/3 champion
        python -m stages.registry comment frogs/3 'calls at ponds, from dusk to midnight'
        python -m stages.registry metadata frogs/3 site=pond,hop=5
        python -m stages.registry connect frogs@champion 5f0e7c1d2a3b4c5d6e7f8091a2b3c4d5 --name start
        python -m stages.registry fetch frogs@champion --output data/frogs
        python -m stages.registry import https://example.org/frogs.onnx --name frogs --tags pond
        python -m stages.registry import frogs.onnx --config frogs.yaml --labels noise=0,frog=1
        python -m stages.registry archive frogs/2
        python -m stages.registry history frogs/2
        python -m stages.registry remove frogs/1

    Args:
        action: list, show, history, import, fetch, tag, comment, metadata, alias, unalias, publish, archive, unarchive,
            connect (make the model an input of a run) or remove.
        model: the model; with import, the path or URL of a file or folder of weights. s3:// takes its credentials, and
            AWS_ENDPOINT_URL of a server other than Amazon's, from the places that AWS's own tools take them from.
        value: with tag, the tags to add, separated by commas; with alias and unalias, the alias; with comment, the
            text; with metadata, key=value of entries to set, separated by commas, or JSON, default: show them; with
            connect, the run's id.
        name: with list, of the models; with import, of the new model, default: that of the file; with connect, of the
            input, default: that of the file of weights.
        project: MLflow experiment: with list, that models belong to, default: any; with import, default: experiment.
        tags: with list, a filter: tags of which one is enough, -tag for one that must not be there, and the operators
            __$all, __$any and __$not; with import, tags to give. Separated by commas.
        untag: with tag, the tags to remove.
        published: with list, leave out drafts; with import, publish at once.
        archived: with list, also archived models.
        max: with list, how many to show at most; 0: all.
        metadata: with list, key=value of entries that models must have, separated by commas.
        url: with list, the path or URL that models were imported from.
        config: with import, file of the model's configuration, in any notation.
        labels: with import, the number of each label, as noise=0,frog=1 or a file of them (.yaml, .json).
        replace: with metadata, remove all other entries.
        unset: with metadata, keys of entries to remove, separated by commas.
        comment: with import, what to say about the model.
        framework: with import, what the weights are for; default: as the file's suffix tells.
        package: with import, the weights are several files, perhaps in an archive.
        sha256: with import, digest that the file must have, 64 hex digits.
        output: with fetch, new folder to copy the weights to; default: the path of the kept copy is shown.
        unpack: with fetch, unpack an archive, also if the model is not a package.
        keep_files: with remove, leave the files with the experiment.
        force: with remove, also if an unfinished run uses the model; with fetch, also if the files are here already;
            with connect, also if the run names another model as this input.
        json: print JSON.
    """
    flags = {name: given for name, given in locals().items() if name not in ("settings", "action", "model", "value")}
    from lib.tracking.registry.actions import ACTIONS, Call, run_action
    from lib.tracking.registry.registered_inputs import refresh_copies

    printed = run_action(action, Call(settings.tracking, model, value, flags))
    print(dumps(printed.content, indent=2, ensure_ascii=False) if json else printed.text)
    if ACTIONS[action].changes:
        show_problems(refresh_copies(settings.tracking))


if __name__ == "__main__":
    run_stage(registry)
