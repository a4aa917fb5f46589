"""`fgdata --help` beside a bare typer command, `import fgdata` beside Python itself: `python -m bench.startup --out DIR`."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from bench.measure import ratios, spread, write_report

_BARE = "import typer\napp = typer.Typer()\n@app.command()\ndef one(): ...\n@app.command()\ndef two(): ...\napp(['--help'])"
_WAYS = {
    "fgdata": [sys.executable, "-m", "pipeline.cli", "--help"],
    "typer": [sys.executable, "-c", _BARE],
    "import": [sys.executable, "-c", "import fgdata"],
    "python": [sys.executable, "-c", "pass"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    seconds: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    for repeat in range(given.repeats + 1):
        for way, command in _WAYS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if repeat:  # the first one warms the caches
                seconds[way].append({"wall_s": time.perf_counter() - started})
    path = write_report(
        given.out,
        "startup",
        given.repeats,
        ["typer", "rich"],
        ratios={
            **ratios(seconds["fgdata"], seconds["typer"], {"help_over_bare_typer": "wall_s"}),
            **ratios(seconds["import"], seconds["python"], {"import_over_python": "wall_s"}),
        },
        seconds={way: spread([run["wall_s"] for run in runs]) for way, runs in seconds.items()},
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
