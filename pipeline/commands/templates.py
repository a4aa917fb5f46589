"""The ready configurations that `fgdata init` writes, one file a kind. Knows where they lie, not what they say."""

import difflib
from pathlib import Path

from pipeline.config.model import ConfigError

KINDS = ("laptop", "one-gpu", "one-node", "cluster", "openai")


def template_path(kind: str) -> Path:
    """The configuration of this kind: in an installed wheel below this package, in a checkout beside it.

    Raises: ConfigError where the kind is unknown.
    """
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(KINDS)}"
        raise ConfigError(f"no configuration for '{kind}'; {hint}")
    package = Path(__file__).parents[1]
    places = [package / "configs" / f"{kind}.yaml", package.parent / "configs" / f"{kind}.yaml"]
    return next((place for place in places if place.is_file()), places[0])


def write_template(path: Path, kind: str) -> None:
    """Write the configuration of this kind to a new file; its folder is made.

    Raises: ConfigError where the kind is unknown, the file exists or it cannot be written.
    """
    content = template_path(kind).read_bytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists and is left as it is: choose another name, or remove it") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
