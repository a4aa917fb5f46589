"""The original groundingdino-py package behind a pipe: it cannot share an environment with a current transformers."""

import asyncio
import base64
import io
import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from schemas.boxes import clip_box
from stages.engines.base import DetectRequest, EngineDead, Found
from stages.engines.pulse import beat, enter, inherited
from stages.engines.specs import DetectorSpec, Resources

_SERVER = Path(__file__).with_name("groundingdino_py_server.py")


class GroundingDinoPySpec(DetectorSpec):
    """The original groundingdino-py package, in a Python environment of its own."""

    kind: Literal["groundingdino-py"]
    weights: str | None = Field(None, description="Path of the published .pth; null: random weights (a smoke test).")
    config: str = Field("GroundingDINO_SwinT_OGC", description="Name of a configuration that the package ships.")
    text_encoder: str = Field("bert-base-uncased", description="Hub name or folder of its BERT.")
    python: str = Field(description="Interpreter of the environment that holds groundingdino-py and transformers 4.")
    device: str = Field("cpu", description="cpu or cuda.")
    unhashed = frozenset({"python", "device", "default_min_score"})

    def build(self, resources: Resources) -> "GroundingDinoPyDetector":
        return GroundingDinoPyDetector(self, resources)


class GroundingDinoPyDetector:
    """Finds phrases in a process of `spec.python`, one request after the other; scores as in span mode (mean) and text mode (max).

    Raises: ValueError where `spec.python` or its packages are missing, with the file to install from; EngineDead
    where the process ends before it is ready.
    """

    def __init__(self, spec: GroundingDinoPySpec, resources: Resources) -> None:  # one signature for all engines
        self._spec = spec
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="groundingdino-py")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        options = json.dumps(spec.model_dump(include={"weights", "config", "text_encoder", "device"}))
        try:
            self._process = subprocess.Popen(
                [spec.python, "-I", str(_SERVER), options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
            )
        except OSError as error:
            self._log.close()
            raise ValueError(f"{self._advice()}: {error}") from error
        problem = self._read().get("problem")
        if problem is not None:
            self._end()
            raise ValueError(f"{self._advice()}: {problem}")

    async def detect(self, requests: Sequence[DetectRequest], floor: float) -> list[list[Found]]:
        """For each request every box whose mean or maximum score reaches `floor`, by phrase, best first.

        Raises: EngineDead where the process has ended.
        """
        enter("queued")
        return await asyncio.get_running_loop().run_in_executor(self._thread, inherited(self._detect), tuple(requests), floor)

    async def close(self) -> None:
        """Ends the process, after the call in progress."""
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._end)

    def _detect(self, requests: tuple[DetectRequest, ...], floor: float) -> list[list[Found]]:
        enter("asking")
        return [self._ask(request, floor) if request.phrases else [] for request in requests]

    def _ask(self, request: DetectRequest, floor: float) -> list[Found]:
        beat()
        buffer = io.BytesIO()
        request.image.convert("RGB").save(buffer, format="PNG", compress_level=1)
        line = {"image": base64.b64encode(buffer.getvalue()).decode(), "phrases": list(request.phrases), "floor": floor}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise EngineDead(self._last_words()) from error
        answers = []
        for phrase, box, mean, highest in self._read()["found"]:
            xyxy = clip_box(tuple(box), request.image.width, request.image.height)
            if xyxy is not None:
                answers.append(Found(phrase, xyxy, mean, highest))
        return answers

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EngineDead(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        end = self._log.read().decode(errors="replace")[-1500:]
        return f"groundingdino-py's process ended with status {self._process.returncode}: {end}"

    def _advice(self) -> str:
        return f"engine kind 'groundingdino-py': {self._spec.python} cannot run it; install requirements/groundingdino-py.txt there"

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._log.close()
