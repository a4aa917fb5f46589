"""How long `fgdata audit` takes on many rows of six options, and how much memory: `python -m bench.audit_scale --out DIR --rows N`."""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

from bench.measure import write_report

OPTIONS = 6
_COLOURS = "red blue green yellow black white brown grey orange purple pink silver golden beige navy teal".split()
_MATERIALS = "wooden metal plastic glass leather paper stone ceramic cotton rubber".split()
_NOUNS = (
    "cup chair table bottle dog cat bag shirt car bus lamp box plate door window bench ball hat shoe clock book vase tray bowl jar sofa "
    "bed fence kite boat train horse bird tree rock sign bike truck towel pillow curtain carpet mirror candle basket bucket broom ladder"
).split()
_PLACES = "on near behind under beside above".split()


def write_set(path: Path, num_rows: int, with_nouns: bool = False) -> None:
    """Distinct positives, each with five texts of which one value differs; drawn alike on both sides, so nothing leaks."""
    rng = random.Random(num_rows)
    with path.open("w", encoding="utf-8") as file:
        for number in range(num_rows):
            noun, other = rng.choice(_NOUNS), rng.choice(_NOUNS)
            words = [rng.choice(_MATERIALS), noun, rng.choice(_PLACES), rng.choice(_COLOURS), other, rng.choice(_PLACES)]
            words += ["the", rng.choice(_MATERIALS), rng.choice(_NOUNS) if number % 10 else f"n{rng.randrange(10**6)}"]
            colours = rng.sample(_COLOURS, OPTIONS)
            texts = [f"the {colour} {' '.join(words[:3])} the {' '.join(words[3:])}" for colour in colours]
            line = {"positive": texts[0], "negatives": texts[1:], "image": f"{number // 4}"}
            file.write(json.dumps(line | ({"noun": noun} if with_nouns else {})) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--nouns", action="store_true", help="the rows name their nouns")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "set.jsonl"
    write_set(path, args.rows, args.nouns)
    started = time.monotonic()
    command = [sys.executable, "-m", "pipeline.cli", "audit", str(path), "--format", "jsonl", "--max-items", str(args.rows), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode not in (0, 3, 4):
        sys.exit(done.stderr[-2000:])
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    content = json.loads(done.stdout)
    about = {
        "rows": args.rows,
        "options": OPTIONS,
        "seconds": round(seconds, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "items": content["items"],
        "verdict": content["verdict"],
    }
    write_report(args.out, "audit_scale", 1, ["scikit-learn", "scipy", "numpy"], ratios={}, **about)
    path.unlink()
    print(json.dumps(about))


if __name__ == "__main__":
    main()
