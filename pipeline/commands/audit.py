"""The body of the command `fgdata audit`: reads a set, asks the probes, says what leaks and what to do about it."""

import io
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.commands.audit_formats import NOT_VALIDATED
from pipeline.commands.audit_sets import OWN, AuditInputError, LeftOut, own_captions, read_set
from pipeline.commands.training import first_sentence_of
from schemas.audit import MARGIN, PROBES, AuditReport, FirstSentence, ProbeFigures, Probes
from stages.audit.audit import audit_layout
from stages.audit.first_sentence import first_sentence_retrieval
from stages.audit.layout import NO_CHOICE, REPEATED, SELF_NEGATIVE, lay_out
from stages.audit.sampling import sampled, unpacked

EXIT_CODES = {"pass": 0, "fail": 3, "insufficient": 4}
_WIDTH = 118
_DROPPED = {
    SELF_NEGATIVE: "negatives that are their own positive",
    REPEATED: "negatives that say what another one of their item says",
    NO_CHOICE: "items whose options all say one thing",
    NOT_VALIDATED: "entries that the set's own annotators did not confirm",
}
_ADVICE = {
    "length": "make negatives as long as positives: edits of as many words, values of like length",
    "article": "set a/an right before each changed word, in positives too",
    "spacing": "normalise spaces and final full stops of positives and negatives alike",
    "case": "write both sides in one case",
    "vocabulary": "take new values only from what positives say",
    "marginal": "draw each value as often for negatives as positives have it; reciprocal negatives do so by themselves",
    "surface": "write both sides alike: length, marks, capitals, digits, spaces and quotes of one kind; `leaks_by_type` may say where",
    "order": "negatives that exchange words of their positive read oddly: exchange what may stand in either place",
    "ngram_image_disjoint": "choose among more candidates: `stages.balance` drops what the probe can tell, in both directions",
    "ngram_noun_disjoint": "as ngram_image_disjoint; what it finds holds whatever the noun: look at values and templates",
    "ngram_shuffled": "random labels were told: the set repeats itself across folds; remove duplicates under other names",
}


def audit_set(
    path: str, format: str | None, max_items: int, *, model: str | None = None, skip_bad: bool = False
) -> tuple[dict[str, Any], str, int]:
    """The report as JSON, as a text to read, and the exit code. Of more than `max_items` distinct items a sample is audited.

    `model`: a trained checkpoint that sees the images where first sentences are asked about.

    Raises: AuditInputError; with a model ConfigError, TrainError.
    """
    left_out = LeftOut(skip_bad)
    known_format, every = read_set(path, format, left_out)
    items, num_entries = sampled(every, max_items)
    if not items:
        raise AuditInputError(" ".join([f"{path}: no item with a negative in it; nothing can be audited.", *_lines_of_skipped(left_out)]))
    is_sample = len(items) < num_entries
    layout, dropped = lay_out(unpacked(items))
    report = audit_layout(layout, {**left_out.dropped, **dropped})
    content = {
        "path": path,
        "format": known_format,
        "entries": num_entries,
        "is_sample": is_sample,
        "skipped": {reason: {"count": num, "places": left_out.bad[reason]} for reason, num in sorted(left_out.num_bad.items())},
        **report.model_dump(mode="json"),
    }
    if model and known_format != OWN:
        raise AuditInputError(f"--model needs images and long captions, which of these formats {OWN} alone has; {path} is {known_format}")
    opening = (first_sentence_of(model, path) if model else first_sentence_retrieval(own_captions(path))) if known_format == OWN else None
    content["first_sentence"] = opening.model_dump(mode="json") if opening else None
    if opening is None:
        content["first_sentence_why"] = "only a data set of ours has long captions beside other texts of the same image"
    summary = _summary(path, known_format, num_entries, is_sample, report)
    lines = [_line_of_dropped(report), *_lines_of_skipped(left_out), _line_of_opening(opening)]
    return content, _printable("\n".join([*(line for line in lines if line), summary])), EXIT_CODES[report.verdict]


def _line_of_dropped(report: AuditReport) -> str:
    """What was left out of the set as read, and how texts without spaces were."""
    parts = [f"{num} {_DROPPED.get(why, why)}" for why, num in report.dropped.items()]
    left_out = f"Left out: {', '.join(parts)}." if parts else ""
    num_characters = report.texts_by_tokens.get("characters", 0)
    how = f"{num_characters} texts without spaces between words were read by characters." if num_characters else ""
    return f"{left_out} {how}".strip()


def _line_of_opening(opening: FirstSentence | None) -> str:
    """How far the first sentences of long captions find their images."""
    if opening is None or opening.whole is None or opening.first is None or opening.rest is None:
        return ""
    recalls = {"the whole caption": opening.whole, "its first sentence alone": opening.first, "the rest": opening.rest}
    rates = ", ".join(f"{part} {recall.r1:.3f} ({recall.r1_low:.3f} to {recall.r1_high:.3f})" for part, recall in recalls.items())
    if opening.model:
        return f"The right one of {opening.images} images is found first, by the model {opening.model}, by {rates}."
    return f"Other texts of the right one of {opening.images} images are found first, by shared words, by {rates}."


def _lines_of_skipped(left_out: LeftOut) -> list[str]:
    return [
        f"Skipped {num}: {reason} ({', '.join(left_out.bad[reason][:3])}{', ...' if num > 3 else ''})"
        for reason, num in sorted(left_out.num_bad.items())
    ]


def _summary(path: str, format: str, num_read: int, is_sample: bool, report: AuditReport) -> str:
    assert report.chance is not None  # a set without items was refused
    screen = io.StringIO()
    console = Console(file=screen, width=_WIDTH, highlight=False)
    counted = f"{'a sample of' if is_sample else 'the'} {report.items} distinct (positive, negatives) items"
    console.print(
        f"{path}: {num_read} entries read; counted are {counted}, with {report.positives} distinct positives on {report.images} images.\n"
        f"Chance {report.chance:.3f}: the mean of 1/options. A probe sees texts alone; what it knows it learned on other images and "
        "texts than it is asked on.",
        markup=False,
    )
    console.print(_probe_table(report, report.chance))
    if report.over_positives.top1 is not None:
        console.print(f"ngram_image_disjoint over one item for each distinct positive: {_rate(report.over_positives)}", markup=False)
    console.print(
        f"Shown all options at once, the one most like the others is right in {_rate(report.consensus)}: no leak for a model that scores "
        "each text alone, as dual encoders do; one for a model that is shown the options together.",
        markup=False,
    )
    if report.by_type:
        console.print(_type_table(report))
        if format in ("fgovd", "jsonl", "cola"):
            console.print("Types that the file does not name are guessed from the words that were exchanged.", markup=False)
    for line in [*_verdict_lines(report, report.chance), *_lines_of_parts(report)]:
        console.print(line, markup=False, soft_wrap=True)
    return screen.getvalue().rstrip()


def _probe_table(report: AuditReport, chance: float) -> Table:
    table = Table("probe", "top-1", "95 % interval", "pairs", "what it goes by", "", title="Told without an image", title_justify="left")
    for name in PROBES:
        figures: ProbeFigures = getattr(report.probes, name)
        described = str(Probes.model_fields[name].description)
        if figures.top1 is None:
            table.add_row(name, "-", "-", "-", str(figures.top1_why), "not measured")
        else:
            assert figures.top1_low is not None
            state = "LEAK" if name in report.leaks else "above" if figures.top1_low > chance else ""
            table.add_row(name, f"{figures.top1:.3f}", _interval(figures), f"{figures.pairwise:.3f}", described, state)
    return table


def _type_table(report: AuditReport) -> Table:
    table = Table(
        "type", "items", "chance", "n-grams, images unseen", "n-grams, nouns unseen", "rule that tells most",
        title="The same by type: the positive among the negatives of that type", title_justify="left",
    )  # fmt: skip
    for kind, figures in report.by_type.items():
        rules = [(getattr(figures, name).top1 or 0.0, name) for name in PROBES if not name.startswith("ngram")]
        best, rule = max(rules)
        table.add_row(
            Text(_printable(kind)),
            str(figures.items), f"{figures.chance:.3f}", _rate(figures.ngram_image_disjoint), _rate(figures.ngram_noun_disjoint),
            f"{rule} {best:.3f}",
        )  # fmt: skip
    return table


def _verdict_lines(report: AuditReport, chance: float) -> list[str]:
    limit = f"chance + {MARGIN} = {chance + MARGIN:.3f}"
    if report.verdict == "fail":
        advice = [f"  {leak}: {_ADVICE[leak]}" for leak in report.leaks]
        return [f"FAIL: the lower bound of {', '.join(report.leaks)} exceeds {limit}.", *advice]
    if report.verdict == "pass":
        return [f"PASS: no probe's lower bound exceeds {limit}, and neither n-gram probe's upper bound does."]
    missing = [f"{name} ({why})" for name in PROBES if (why := getattr(report.probes, name).top1_why)]
    wide = f"the upper bound of an n-gram probe exceeds {limit}; more items narrow it"
    return [f"INSUFFICIENT: no leak is shown, and a pass is not either: {'not measured: ' + ', '.join(missing) if missing else wide}."]


def _lines_of_parts(report: AuditReport) -> list[str]:
    """What leaks in a part of the set, which the whole may hide; no part of the verdict."""
    parts = [(f"negatives of the type {kind}", leaks) for kind, leaks in report.leaks_by_type.items()]
    parts += [(f"items of {num} options", leaks) for num, leaks in report.leaks_by_options.items()]
    return [f"Among {part} {', '.join(leaks)} leak{'s' if len(leaks) == 1 else ''}." for part, leaks in parts]


def _printable(text: str) -> str:
    """With signs for what no terminal can show."""
    return text.encode(errors="backslashreplace").decode()


def _rate(figures: ProbeFigures) -> str:
    return "-" if figures.top1 is None else f"{figures.top1:.3f} ({_interval(figures)})"


def _interval(figures: ProbeFigures) -> str:
    return f"{figures.top1_low:.3f} to {figures.top1_high:.3f}"
