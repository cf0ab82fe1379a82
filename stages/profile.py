"""Settings for a kind of sound: a profile -> params.yaml."""

from lib.config.command_line import run_stage, stage
from lib.config.load import PARAMS_FILE
from lib.core.wording import counted


@stage()
def profile(name: str = "", *, params: str = PARAMS_FILE) -> None:
    """Write the settings for a kind of sound into params.yaml, and show what changes.

    Comments and all other settings stay as they are. Without a name, all profiles are listed.

    Examples:
        python -m stages.profile bats
        python -m stages.profile birds     back to the defaults

    Args:
        name: birds, bats, frogs, insects, instruments or machines.
        params: settings file to change.
    """
    from lib.config.params_file import changes_text
    from lib.config.profiles import PROFILES, apply_profile
    from lib.core.console import table_text

    if not name:
        print(table_text({"profile": list(PROFILES), "for": [each.about for each in PROFILES.values()]}))
        return
    changes = apply_profile(name, params)
    if not changes:
        print(f"{params} has the settings for {name} already: {PROFILES[name].about}")
        return
    print(changes_text(changes))
    print(f"{counted(len(changes), 'setting')} changed for {name}: {PROFILES[name].about} -> {params}")


if __name__ == "__main__":
    run_stage(profile)
