"""Every odd input in one table: `python -m bench.wild --out DIR [--only WORD] [--docs]`.

Writes DIR/wild.json with `rows`, and with --docs the table of docs/wild.md. Exits 1 where a verdict is wrong.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from bench.measure import write_report
from bench.wild.table import Verdict, chosen, run_case
from pipeline.run.cluster.join import connected

_PAGE = Path("docs/wild.md")
_MARK = "<!-- the table below is written by `python -m bench.wild --docs` -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[], help="Cases whose name holds this word.")
    parser.add_argument("--docs", action="store_true", help="Write the table into docs/wild.md.")
    given = parser.parse_args()
    out = given.out.resolve()
    page = _PAGE.resolve()
    verdicts = []
    with connected(None):  # one Ray for all runs
        for case in chosen(given.only):
            verdict = run_case(case)
            verdicts.append(verdict)
            print(f"{verdict.verdict:<6} {verdict.case:<36} {verdict.outcome}", flush=True)
    write_report(out, "wild", 1, ("pyarrow", "pillow", "fsspec"), rows=[dataclasses.asdict(each) for each in verdicts], ratios={})
    if given.docs:
        page.write_text(_with_table(page.read_text(encoding="utf-8"), verdicts), encoding="utf-8")
    num_wrong = sum(each.verdict != "ok" for each in verdicts)
    print(f"{len(verdicts)} inputs, {num_wrong} wrong")
    return 1 if num_wrong else 0


def _with_table(text: str, verdicts: list[Verdict]) -> str:
    lines = ["| case | input | what happened | verdict |", "|---|---|---|---|"]
    lines += [f"| {each.case} | {_cell(each.input)} | {_cell(each.outcome)} | {each.verdict} |" for each in verdicts]
    return text.partition(_MARK)[0] + _MARK + "\n\n" + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
