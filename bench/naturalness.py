"""Whether a causal model's likelihood tells edits that nobody would write: `python -m bench.naturalness --model smollm2 --out DIR`.

Each accepted edit of the ten photographs is scored by how much less likely the model finds the text than the one it was made of, as a
whole and per token, and held against a reader's judgement. AUC .5 is chance; `caught`: of the unnatural ones, those in the twentieth with
the greatest loss. `bench.smollm2` writes the model of the package; another one is a folder that transformers opens.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure import write_report
from bench.smollm2 import save_checkpoint
from pipeline.demo.photographs.pictures import pictures
from stages.negatives.edits import Proposal, accept, known_of

_BEFORE = "The photo shows"
_FLAGGED_SHARE = 0.05
_AT_ONCE = 16


class _Edited(NamedTuple):
    """A text, what an edit makes of it, the edit's type, and whether a reader finds the result unnatural."""

    positive: str
    text: str
    type: str
    is_unnatural: bool


def edited() -> list[_Edited]:
    """The accepted edits of the photographs' regions."""
    edits = []
    for region in (region for picture in pictures() for region in picture.regions):
        proposals = [Proposal.model_validate(edit) for edit in region.edits]
        known = known_of([region.short, region.phrase, region.long], region.attributes, [region.noun])
        accepted, _ = accept(proposals, region.short, region.noun, known, len(proposals))
        edits += [_Edited(region.short, negative.text, negative.type, negative.edits[0].new in region.unnatural) for negative in accepted]
    return edits


def likelihoods(folder: Path, texts: Iterable[str]) -> dict[str, tuple[float, int]]:
    """By text its log-likelihood after the words before it, and its number of tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    first = len(tokenizer(_BEFORE)["input_ids"])
    by_text = {}
    wanted = sorted(set(texts))
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        rows = [tokenizer(f"{_BEFORE} {text}")["input_ids"] for text in some]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        with torch.no_grad():
            logs = model(ids, attention_mask=mask).logits.log_softmax(-1)
        for text, row, log in zip(some, rows, logs, strict=True):
            by_text[text] = (sum(float(log[at - 1, row[at]]) for at in range(first, len(row))), len(row) - first)
    return by_text


def figures(losses: Sequence[float], is_unnatural: Sequence[bool]) -> dict[str, Any]:
    """How well a loss tells the unnatural ones: the AUC, and how many of them are among those flagged."""
    bad = [loss for loss, unnatural in zip(losses, is_unnatural, strict=True) if unnatural]
    good = [loss for loss, unnatural in zip(losses, is_unnatural, strict=True) if not unnatural]
    auc = sum((worse > better) + 0.5 * (worse == better) for worse in bad for better in good) / max(1, len(bad) * len(good))
    num_flagged = round(_FLAGGED_SHARE * len(losses))
    flagged = sorted(range(len(losses)), key=lambda i: -losses[i])[:num_flagged]
    return {"auc": round(auc, 3), "flagged": num_flagged, "caught": sum(is_unnatural[i] for i in flagged), "unnatural": len(bad)}


def measure(model: Path) -> dict[str, Any]:
    """The figures of both losses, over all edits and over those of the noun."""
    edits = edited()
    likelihood_of = likelihoods(model, [text for edit in edits for text in (edit.positive, edit.text)])
    losses: dict[str, list[float]] = {"whole": [], "per_token": []}
    for edit in edits:
        (before, num_before), (after, num_after) = likelihood_of[edit.positive], likelihood_of[edit.text]
        losses["whole"].append(before - after)
        losses["per_token"].append(before / num_before - after / num_after)
    of_nouns = [i for i, edit in enumerate(edits) if edit.type == "object"]
    content: dict[str, Any] = {"edits": len(edits)}
    for name, values in losses.items():
        content[name] = figures(values, [edit.is_unnatural for edit in edits])
        content[f"{name}_of_nouns"] = figures([values[i] for i in of_nouns], [edits[i].is_unnatural for i in of_nouns])
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder; SmolLM2-135M-Instruct is written there where it is empty")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    content = measure(save_checkpoint(arguments.model))
    for name, value in content.items():
        print(name, value)
    print(write_report(arguments.out, "naturalness", 1, ("torch", "transformers"), ratios={}, **content))


if __name__ == "__main__":
    main()
