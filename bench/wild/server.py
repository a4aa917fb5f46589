"""A captioning server on this machine that keeps the pictures it is sent, and answers as a case wants."""

import base64
import contextlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

GOOD = '{"long": "A red mug on a wooden table beside a window, with a spoon.", "short": "a red mug"}'


@dataclass
class Seen:
    """`pictures` and `answer_to` go by the word after `tag-` in the question, which is an image's alt text; `base_url` is the server's."""

    base_url: str = ""
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    num_asked: int = 0
    answer_to: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def captioner(answer: Callable[[int], str] = lambda _number: GOOD) -> Iterator[Seen]:
    """The server; `answer` makes the text of an answer, as it stands in JSON, of the number of questions asked so far."""
    seen, lock = Seen(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...

        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": "m", "object": "model"}]})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            image, tag = re.search(r"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", body), re.search(r"tag-(\w+)", body)
            with lock:
                seen.num_asked += 1
                if image and tag:
                    seen.pictures[tag[1]] = Image.open(io.BytesIO(base64.b64decode(image[1]))).convert("RGB")
                text = seen.answer_to.get(tag[1] if tag else "") or answer(seen.num_asked)
            message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            self._send({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [message], "usage": usage})

        def _send(self, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    seen.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()


def openai_captioner(seen: Seen) -> dict[str, Any]:
    """The block `engines` for the server."""
    return {"captioner": {"kind": "openai", "model": "m", "base_url": seen.base_url, "concurrency": 4}}


def captions_alone() -> dict[str, Any]:
    """The blocks of a run that ends with captions, asked by the prompt for real models, which tells them the alt text."""
    return {"stages": {"caption": {"prompt": "v1"}}}
