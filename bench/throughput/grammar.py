"""What the grammar of an answer costs: the same engine, answers of the same length, with the mask of allowed tokens and without."""

import asyncio
import itertools
import time
from typing import Any

from prompts.loader import load_prompt
from stages.engines.grammar import schema_grammar
from stages.engines.vllm_async import VllmGenerator


async def grammar_rates(engine: VllmGenerator, num_answers: int, num_words: int, repeats: int) -> list[dict[str, float]]:
    """Of each repeat tokens a second with and without, in turn; the first warms up and is left out. Prompts are short texts.

    The schema is that of captions, two strings of any words; answers have at most `2 * num_words` tokens.
    """
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

    # Open strings, as captions have: the mask is another at each step, and hardly anything but the limit ends an answer.
    grammar = schema_grammar(load_prompt("caption", "v1").answer_schema)
    core, numbers = engine._engine, itertools.count()  # noqa: SLF001

    async def length(way: str) -> int:
        number = next(numbers)
        settings: dict[str, Any] = {"temperature": 1.0, "seed": number, "max_tokens": 2 * num_words, "ignore_eos": way == "without"}
        structured = StructuredOutputsParams(grammar=grammar) if way == "with" else None
        params = SamplingParams(**settings, output_kind=RequestOutputKind.FINAL_ONLY, structured_outputs=structured)
        outputs = [output async for output in core.generate({"prompt": f"Tell {number}."}, params, f"grammar-{number}")]
        return len(outputs[-1].outputs[0].token_ids)

    turns = []
    for repeat in range(repeats + 1):
        rates = {}
        for way in ("with", "without")[:: 1 if repeat % 2 else -1]:
            began = time.perf_counter()
            lengths = await asyncio.gather(*(length(way) for _ in range(num_answers)))
            rates[way] = sum(lengths) / (time.perf_counter() - began)
        if repeat:
            turns.append(rates)
    return turns
