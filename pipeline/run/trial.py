"""One trial question to each engine before there is work: the run's own prompts, schemas and picture sizes. Commits nothing."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image as PillowImage

from pipeline.config.graph import Node
from pipeline.config.model import Config
from pipeline.config.registry import row_type, with_model_path
from pipeline.corpus.images import load_images
from pipeline.corpus.update import read_rows
from pipeline.ledger.state import State
from pipeline.run.blame.patience import Patience
from prompts.loader import PromptError
from schemas.check import Check
from schemas.rows import (
    Attribute,
    CaptionRow,
    CorpusRow,
    Edit,
    HardNegativeRow,
    Negative,
    Region,
    RegionCaption,
    RegionCaptionRow,
    RegionNegatives,
    Row,
    SelectRow,
)
from stages.base import Image, Stage, StageContext
from stages.engines.base import Answer, Detector, DetectRequest, EngineDead, Found, Generator, Request, ServerAway
from stages.engines.rehearsal import RehearsalDetector, RehearsalDetectorSpec, RehearsalGenerator, RehearsalSpec
from stages.engines.specs import DetectorSpec, GeneratorSpec, Spec

_UNITS_LOOKED_AT = 8
_LONG = "A red car stands on a grey road."
_PHRASE = "a red car"
# What no later question of the run would get right either, and what is to be done about it.
_ACTS: Mapping[str, str] = {
    "auth": "set the key that the engine's api_key_env names",
    "unsupported": "correct the model's name, or choose one that reads images",
    "context_window": "give the engine a larger context, or lower max_pixels or the prompt's decoding.max_tokens",
    "bad_request": "see what the engine says of the prompt, its template and its answer schema",
    "server_error": "look into the server's log",
    "truncated": "give the engine a larger context, or lower max_pixels",
}


# What engines raise where they do not start, or where a question is more than they can take. EngineDead is a RuntimeError.
_FAILURES = (RuntimeError, ImportError, ValueError, TypeError, OSError)


@dataclass(frozen=True)
class Trial:
    """The question of one stage to one of its engines."""

    stage: str
    role: str
    request: Request | DetectRequest


def picture_of(config: Config, state: State) -> Image | None:
    """The largest picture among the first that the corpus can show; None where it has none."""
    for unit in (unit for item in state.items(state.graph[0].name)[:_UNITS_LOOKED_AT] for unit in item.units):
        rows = [row for row in read_rows(state.ledger.workdir, unit) if row.status == "ok" and row.has_pixels]
        for row in sorted(rows, key=lambda row: -(row.width or 0) * (row.height or 0)):
            (loaded,) = load_images(config.corpus, [row])
            if loaded.image is not None:
                return Image(row, loaded.image)
    return None


def stand_in(picture: Image | None) -> Image:
    """A picture of the same size without that picture's content: what a worker is asked about must not be what ends its engine."""
    size = (640, 480) if picture is None or picture.pixels is None else picture.pixels.size
    alt = None if picture is None or picture.alt is None else " ".join("word" for _ in picture.alt.split())
    row = CorpusRow(key="trial", path="trial", offset=0, size=0, width=size[0], height=size[1], alt=alt)
    return Image(row, PillowImage.linear_gradient("L").convert("RGB").resize(size))


def trials_of(config: Config, nodes: Sequence[Node], picture: Image) -> list[Trial]:
    """For each stage and role the longest question that is asked about the picture; none where a stage has nothing to ask.

    Raises: PromptError where a prompt does not render.
    """
    trials = []
    for node in nodes:
        if config.is_computed(node.name) and issubclass(node.stage, Stage) and config.specs(node.name):
            trials += list(_trials(config, node, picture))
    return trials


def judged(specs: Mapping[str, Spec], trials: Sequence[Trial], answers: Sequence[Answer | None]) -> Iterator[Check]:
    """A check for each trial: not well where the engine will answer no question of this kind. None: it was a detector, and answered."""
    for trial, answer in zip(trials, answers, strict=True):
        name = _name(specs, trial)
        yield Check(name, True, "answered") if answer is None else _judged(name, trial, answer)


def ask_remote(config: Config, trials: Sequence[Trial], note: Callable[[str], None] | None = None) -> list[Check]:
    """Asks from here, before anything is started, the engines that answer from elsewhere.

    One that is away is waited for where there is somebody to `note` it.

    Raises: StayedAway where it is away for longer than `placement.patience_s`.
    """
    remote = [trial for trial in trials if config.engines[trial.role].is_remote]
    if note is None:
        return ask_here(config, remote)
    checks = []
    for mine in _by_role(remote):
        patience = Patience(mine[0].stage, config.placement.patience_s)
        while (answered := _asked_unless_away(config, mine, patience, note)) is None:
            time.sleep(max(0.0, patience.until - time.monotonic()))
        checks += answered
    return checks


def ask_here(config: Config, trials: Sequence[Trial]) -> list[Check]:
    """Builds the engines in this process, asks each its trials together, and ends them."""
    checks = []
    for mine in _by_role(trials):
        try:
            checks += _asked(config, mine)
        except ServerAway as error:
            checks.append(_failed(config.engines, mine[0], error))
    return checks


def _by_role(trials: Sequence[Trial]) -> list[list[Trial]]:
    return [[trial for trial in trials if trial.role == role] for role in dict.fromkeys(trial.role for trial in trials)]


def _asked_unless_away(config: Config, trials: Sequence[Trial], patience: Patience, note: Callable[[str], None]) -> list[Check] | None:
    try:
        return _asked(config, trials)
    except ServerAway as error:
        words = patience.away(time.monotonic(), str(error))
        if words is not None:
            note(words)
        return None


def _asked(config: Config, trials: Sequence[Trial]) -> list[Check]:
    """Of one role; raises ServerAway."""
    try:
        spec = with_model_path(config.engines[trials[0].role])
        answers = _answers(spec, config, trials[0].stage, [trial.request for trial in trials])
    except ServerAway:
        raise
    except _FAILURES as error:
        return [_failed(config.engines, trials[0], error)]
    return list(judged(config.engines, trials, answers))


async def ask_at_hand(
    specs: Mapping[str, Spec], generators: Mapping[str, Generator], detectors: Mapping[str, Detector], trials: Sequence[Trial]
) -> list[Check]:
    """Asks the engines that a worker holds; servers were asked from the driver. Raises: EngineDead."""
    checks = []
    for trial in (trial for trial in trials if not specs[trial.role].is_remote):
        answer = None
        try:
            if isinstance(trial.request, Request):
                (answer,) = await generators[trial.role].generate([trial.request])
            else:
                await detectors[trial.role].detect([trial.request], 0.5)
        except EngineDead as error:
            raise EngineDead(f"{_name(specs, trial)}: {error}") from error
        except _FAILURES as error:
            checks.append(_failed(specs, trial, error))
        else:
            checks += judged(specs, [trial], [answer])
    return checks


def _name(specs: Mapping[str, Spec], trial: Trial) -> str:
    return f"trial of engines.{trial.role} ({specs[trial.role].kind}) for {trial.stage}"


def _failed(specs: Mapping[str, Spec], trial: Trial, error: Exception) -> Check:
    message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Check(_name(specs, trial), False, message, "see its log, or correct its block")


def _answers(spec: Spec, config: Config, stage: str, requests: Sequence[Request | DetectRequest]) -> list[Answer | None]:
    resources = config.resources(stage)
    if isinstance(spec, DetectorSpec):
        detector = spec.build(resources)
        asyncio.run(_detected(detector, [request for request in requests if isinstance(request, DetectRequest)]))
        return [None] * len(requests)
    assert isinstance(spec, GeneratorSpec), "an engine generates or detects"
    return list(asyncio.run(_generated(spec.build(resources), [request for request in requests if isinstance(request, Request)])))


async def _generated(generator: Generator, requests: Sequence[Request]) -> list[Answer]:
    try:
        return await generator.generate(requests)
    finally:
        await generator.close()


async def _detected(detector: Detector, requests: Sequence[DetectRequest]) -> None:
    try:
        await detector.detect(requests, 0.5)
    finally:
        await detector.close()


def _judged(name: str, trial: Trial, answer: Answer) -> Check:
    assert isinstance(trial.request, Request), "only generators answer in words"
    is_cut_short = answer.error == "truncated" and answer.completion_tokens < trial.request.decoding.max_tokens
    if answer.error is None or answer.error not in _ACTS or (answer.error == "truncated" and not is_cut_short):
        return Check(name, True, answer.error or "answered")
    detail = "the context ends before the answer may" if is_cut_short else answer.detail or answer.error
    return Check(name, False, f"{answer.error}: {detail}", _ACTS[answer.error])


@dataclass
class _Recorder:
    """A rehearsal engine that keeps what it is asked."""

    asked: list[Request] = field(default_factory=list)
    detected: list[DetectRequest] = field(default_factory=list)

    async def generate(self, requests: Sequence[Request]) -> list[Answer]:
        self.asked += requests
        return await RehearsalGenerator(RehearsalSpec(kind="rehearsal")).generate(requests)

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        self.detected += requests
        return await RehearsalDetector(RehearsalDetectorSpec(kind="rehearsal-detector")).detect(requests, floor)

    async def close(self) -> None:
        return None


def _trials(config: Config, node: Node, picture: Image) -> Iterator[Trial]:
    """Runs the stage on the picture with rehearsal engines, and takes what they were asked."""
    specs = config.specs(node.name)
    recorders = {role: _Recorder() for role in specs}
    context = StageContext(
        node.fingerprint,
        node.prompts,
        {role: recorders[role] for role, spec in specs.items() if isinstance(spec, GeneratorSpec)},
        {role: recorders[role] for role, spec in specs.items() if isinstance(spec, DetectorSpec)},
    )
    stage = node.stage(config.stages[node.name], context)
    upstream = {row_type(name): _row(row_type(name), picture) for name in node.reads}
    assert isinstance(stage, Stage), "only units have engines"
    asyncio.run(stage.run([dataclasses.replace(picture, upstream=upstream)], 0))
    for role, recorder in recorders.items():
        requests: list[Request | DetectRequest] = [*recorder.asked, *recorder.detected]
        if requests:
            yield Trial(node.name, role, max(requests, key=_length))


def _length(request: Request | DetectRequest) -> int:
    return len(request.user) if isinstance(request, Request) else len(" ".join(request.phrases))


def _row(kind: type[Row], picture: Image) -> Row:
    """What a stage before might have said of the picture."""
    width, height = picture.rgb.size
    xyxy = (0.0, 0.0, float(width), float(height))
    region = Region(xyxy=xyxy, score=0.9, phrase=_PHRASE, start=0, end=len(_PHRASE), head="car")
    caption = RegionCaption(
        region=0, xyxy=xyxy, head="car", short=_PHRASE, long=_PHRASE, attributes=[Attribute(type="colour", value="red")]
    )
    edit = Edit(type="colour", start=2, end=5, old="red", new="blue")
    negative = Negative(text="a blue car", edits=[edit], type="colour")
    rows: tuple[Row, ...] = (
        CaptionRow(key=picture.key, long=_LONG, short=_PHRASE, width=width, height=height),
        SelectRow(key=picture.key, width=width, height=height, regions=[region]),
        RegionCaptionRow(key=picture.key, regions=[caption]),
        HardNegativeRow(key=picture.key, regions=[RegionNegatives(region=0, positive=_PHRASE, negatives=[negative], num_proposed=1)]),
    )
    return next((row for row in rows if type(row) is kind), kind(key=picture.key))


def prompt_problem(error: PromptError) -> Check:
    """The check that a prompt which does not render has failed."""
    return Check("prompts", False, str(error), "correct the prompt's YAML")
