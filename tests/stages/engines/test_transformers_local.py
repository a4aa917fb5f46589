"""What the transformers engine promises beyond the contract: a function of the unit, whatever stands beside what."""

import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.engines.base import Decoding, Generator, MissingExtra, Request
from stages.engines.openai_server import OpenAISpec
from stages.engines.specs import Resources
from stages.engines.transformers_local import TransformersGenerator, TransformersSpec
from stages.engines.vllm_async import VllmSpec

pytest.importorskip("xgrammar")
Run = Callable[[Coroutine[Any, Any, Any]], Any]
VERDICT = {"type": "object", "properties": {"answer": {"enum": ["yes", "no"]}}, "required": ["answer"], "additionalProperties": False}


@pytest.fixture(scope="module")
def writer(tiny_llama: Path, run: Run) -> Iterator[Generator]:
    engine = TransformersGenerator(TransformersSpec(kind="transformers", model=str(tiny_llama), batch_size=3, threads=1), Resources())
    yield engine
    run(engine.close())


def test_a_text_checkpoint_answers_text_and_refuses_images(writer: Generator, run: Run) -> None:
    image = Image.new("RGB", (8, 8))
    ask = [Request("Is it?", images=images, answer_schema=VERDICT, decoding=Decoding(max_tokens=64)) for images in ((), (image,), ())]
    first, refused, last = run(writer.generate(ask))
    assert json.loads(first.text)["answer"] in ("yes", "no")
    assert refused.error == "unsupported"
    assert first == last


def test_a_row_keeps_its_own_decoding_beside_others(writer: Generator, run: Run) -> None:
    drawn = [Request("Tell.", decoding=Decoding(max_tokens=6, temperature=1.0, top_p=0.9), seed=seed) for seed in range(3)]
    greedy = Request("Tell.", decoding=Decoding(max_tokens=3))
    mixed = run(writer.generate([drawn[0], greedy, drawn[1], drawn[2]]))
    assert [answer.completion_tokens for answer in mixed] == [6, 3, 6, 6]
    assert run(writer.generate([greedy])) == [mixed[1]]
    assert run(writer.generate([drawn[2]])) == [mixed[3]]


def test_a_model_without_chat_template_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    for file in tiny_llama.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).symlink_to(file)
    spec = TransformersSpec(kind="transformers", model=str(tmp_path), threads=1)
    with pytest.raises(ValueError, match="no chat template"):
        TransformersGenerator(spec, Resources())
    TransformersGenerator(spec.model_copy(update={"chat_template": "{{ messages[0]['content'] }}"}), Resources())


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.engines.openai_server import OpenAIGenerator
    from stages.engines.vllm_async import VllmGenerator

    for module in ("xgrammar", "httpx", "vllm"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "vllm.engine.arg_utils", None)
    with pytest.raises(MissingExtra, match=r"fgdata\[transformers\]"):
        TransformersGenerator(TransformersSpec(kind="transformers", model="m"), Resources())
    with pytest.raises(MissingExtra, match=r"fgdata\[openai\]"):
        OpenAIGenerator(OpenAISpec(kind="openai", model="m", base_url="http://127.0.0.1/v1"), Resources())
    with pytest.raises(MissingExtra, match=r"fgdata\[vllm\]"):
        VllmGenerator(VllmSpec(kind="vllm", model="m"), Resources())
