"""vLLM's CPU build as our engine starts it: no process beside the engine's own that takes a core to wait."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bench.throughput.ways import cpu_of
from stages.engines.base import Decoding, Request
from stages.engines.vllm_async import VllmGenerator
from tests.support.processes import processes_below

pytestmark = pytest.mark.vllm
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_no_core_is_taken_to_wait_for_another_process(vllm_engine: VllmGenerator, run: Run) -> None:
    assert vllm_engine.renderers is not None
    run(vllm_engine.renderers.ready())  # what starts meanwhile takes cores too
    requests = [Request(f"Tell of a lamp, {number}.", decoding=Decoding(max_tokens=200), seed=number) for number in range(8)]
    run(vllm_engine.generate(requests))
    before = {process: cpu_of(process) for process in processes_below(os.getpid())}
    run(vllm_engine.generate(requests))
    used = sorted(cpu_of(process) - cpu for process, cpu in before.items())
    assert used[-2] < used[-1] / 4
