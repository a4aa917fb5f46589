"""vLLM's CPU build as our engine starts it: no process beside the engine's own that takes a core to wait."""

import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from stages.engines.base import Decoding, Request
from stages.engines.vllm_async import VllmGenerator

pytestmark = pytest.mark.vllm
Run = Callable[[Coroutine[Any, Any, Any]], Any]
LONG = Decoding(max_tokens=200)


def processes_below(process: int) -> list[int]:
    """All that this process has started, and what they have started."""
    children = [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
    return [below for child in children for below in (child, *processes_below(child))]


def cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_core_is_taken_to_wait_for_another_process(vllm_engine: VllmGenerator, run: Run) -> None:
    requests = [Request(f"Tell of a lamp, {number}.", decoding=LONG, seed=number) for number in range(8)]
    run(vllm_engine.generate(requests))
    began, before = time.monotonic(), {process: cpu_s(process) for process in processes_below(os.getpid())}
    run(vllm_engine.generate(requests))
    seconds = time.monotonic() - began
    busy = [process for process, used in before.items() if cpu_s(process) - used > seconds / 4]
    assert len(busy) == 1
