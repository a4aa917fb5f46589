"""`python -m bench.faults --out DIR [--sample] [--only WORD ...]`: writes DIR/faults.json and DIR/faults.md, the table of reliability.md.

Each fault is injected into runs of the real command on a small job with a reproducible engine; the data set is then compared with
that of an undisturbed run. Exit 1 where anything was lost, doubled, torn or different. `--sample` is what CI runs. Rows that ended
well lie in DIR/rows and are taken from there the next time, so that a bench that was ended goes on; `--afresh` measures all again.
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.faults import disk, kills, poison, remote, servers, signals, vllm
from bench.faults.table import Fault, Tally, markdown
from bench.measure import write_report

# One line a file; each has a table FAULTS.
FAULTS: tuple[Fault, ...] = (
    *kills.FAULTS,
    *signals.FAULTS,
    *vllm.FAULTS,
    *poison.FAULTS,
    *servers.FAULTS,
    *disk.FAULTS,
    *remote.FAULTS,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sample", action="store_true", help="Only as often as in CI.")
    parser.add_argument("--only", nargs="*", default=[], help="Only faults whose name holds one of these words.")
    parser.add_argument("--afresh", action="store_true", help="Take no row from an earlier bench.")
    args = parser.parse_args()
    rows = []
    for fault in FAULTS:
        times = fault.sample if args.sample else fault.times
        if times and (not args.only or any(word in fault.name for word in args.only)):
            rows.append(_row(fault, times, args.out, afresh=args.afresh))
    path = write_report(args.out, "faults", 1, ("ray", "pyarrow"), ratios={}, rows=rows)
    (args.out / "faults.md").write_text(markdown(rows), encoding="utf-8")
    print(path)
    return 1 if any(row["lost"] or row["duplicated"] or row["torn"] or row["differing"] or row["wrong"] for row in rows) else 0


def _row(fault: Fault, times: int, out: Path, *, afresh: bool) -> dict[str, Any]:
    """The fault's row; one that was kept, where it ended well and was asked for as often."""
    kept = out / "rows" / f"{re.sub('[^a-z0-9]+', '-', fault.name.lower())}-{times}.json"
    if kept.exists() and not afresh:
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    tally = _measure(fault, times)
    row = tally.as_json(fault.name)
    if tally.is_well:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return row


def _measure(fault: Fault, times: int) -> Tally:
    scratch = Path(tempfile.mkdtemp(prefix="fgdata-faults-"))
    started = time.monotonic()
    try:
        tally = fault.inject(scratch, times)
    except Exception as error:  # noqa: BLE001  # one fault that cannot be injected must not hide the others
        tally = Tally(wrong=f"{type(error).__name__}: {error}"[:300])
    verdict = "ok" if tally.is_well else f"WRONG {tally.wrong or vars(tally)}"
    print(f"{fault.name}: {tally.injected} in {time.monotonic() - started:.0f} s: {verdict}", file=sys.stderr, flush=True)
    if tally.is_well or not os.environ.get("FGDATA_KEEP_FAULTS"):
        shutil.rmtree(scratch, ignore_errors=True)
    return tally


if __name__ == "__main__":
    raise SystemExit(main())
