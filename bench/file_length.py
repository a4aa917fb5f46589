"""Fails where one of our Python files is longer than 400 lines. Part of `make check`."""

import subprocess
import sys
from pathlib import Path

MAX_LINES = 400


def main() -> int:
    names = subprocess.run(["git", "ls-files", "*.py"], capture_output=True, text=True, check=True).stdout.split()
    lengths = {name: len(Path(name).read_text(encoding="utf-8").splitlines()) for name in names if Path(name).is_file()}
    too_long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    for name, length in sorted(too_long.items()):
        print(f"{name}: {length} lines; split it by topic, {MAX_LINES} at most")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
