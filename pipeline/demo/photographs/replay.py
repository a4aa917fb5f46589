"""An OpenAI-compatible server that answers the prompts with what a reader answered. Knows pictures and questions, no stage and no run.

Which picture or crop is shown is found by its looks: the nearest of all that could be asked about.
"""

import base64
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from pipeline.demo.photographs.pictures import Picture, ReadRegion, ReadValues
from stages.regions.crops import focal_crop

_LOOK_PX = 24
MODEL = "reader"
_CANNOT_TELL = "cannot_tell"
_TYPES = re.compile(r"true of the .+?, as its (\w+)")


@dataclass(frozen=True)
class _Place:
    """A picture, or one of its regions, as it looks when it is asked about."""

    picture: Picture
    region: ReadRegion | None
    look: np.ndarray


class Replay:
    """The answers of one reader about these pictures; `asked` counts questions by task, `unknown` lists what nobody has answered."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.asked: Counter[str] = Counter()
        self.unknown: list[str] = []
        self._pictures = pictures
        self._wholes: list[_Place] = []
        self._crops: list[_Place] = []
        for picture in pictures:
            with Image.open(picture.path) as file:
                image = file.convert("RGB")
            self._wholes.append(_Place(picture, None, _look(image)))
            self._crops += [_Place(picture, region, _look(focal_crop(image, region.box))) for region in picture.regions]

    def answer(self, text: str, image: Image.Image | None, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one prompt; which task it is, is read off the answer's fields."""
        fields = schema.get("properties", {})
        task = next(name for name, field in _TASKS.items() if field in fields)
        self.asked[task] += 1
        answered: dict[str, Any] = getattr(self, f"_{task}")(text, image, fields)
        return answered

    def _region_caption(self, text: str, image: Image.Image | None, _: Mapping[str, Any]) -> dict[str, Any]:
        region = self._shown(image, _after(text, "by the noun"))
        texts = {name: getattr(region, name) for name in ("there", "short", "long")}
        return {**texts, "attributes": [attribute.model_dump() for attribute in region.attributes]}

    def _caption(self, _: str, image: Image.Image | None, __: Mapping[str, Any]) -> dict[str, Any]:
        picture = _nearest(self._wholes, image).picture
        return {"long": picture.long, "short": picture.short}

    def _phrases(self, text: str, _: Image.Image | None, __: Mapping[str, Any]) -> dict[str, Any]:
        picture = next((shown for shown in self._pictures if shown.long in text), self._pictures[0])
        return {"phrases": [phrase._asdict() for phrase in picture.phrases]}

    def _hard_negative(self, text: str, _: Image.Image | None, __: Mapping[str, Any]) -> dict[str, Any]:
        short = _after(text, "Phrase:")
        regions = [region for picture in self._pictures for region in picture.regions]
        return {"edits": list(next((region for region in regions if region.short == short), regions[0]).edits)}

    def _verify(self, text: str, image: Image.Image | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        region = self._shown(image, _after(text, "by the noun") if "by the noun" in text else None)
        if "items" in fields["answer"]:
            options = [option for option in fields["answer"]["items"]["enum"] if option != _CANNOT_TELL]
            kind = named[1] if (named := _TYPES.search(text)) else "object"
            known = self._values_of(region, kind, options)
            ticked = [option for option in options if option in known.true]
            doubted = [option for option in options if option in known.unsure]
            return {"answer": [*ticked, _CANNOT_TELL] if doubted or not ticked else ticked}
        kind, value = _statement(text)
        known = self._values_of(region, kind, [value])
        return {"answer": "yes" if value in known.true else "no" if value in known.false else _CANNOT_TELL}

    def _values_of(self, region: ReadRegion, kind: str, values: Sequence[str]) -> ReadValues:
        of_kind = region.values.get(kind, ReadValues())
        known = {*of_kind.true, *of_kind.false, *of_kind.unsure}
        self.unknown += [f"{region.short}: {kind} {value}" for value in values if value not in known]
        return of_kind

    def _shown(self, image: Image.Image | None, noun: str | None) -> ReadRegion:
        places = [crop for crop in self._crops if crop.region is not None and noun in (None, crop.region.noun)]
        region = _nearest(places or self._crops, image).region  # a trial asks about what no picture shows: any answer will do
        assert region is not None
        return region


_TASKS = {"region_caption": "there", "caption": "long", "phrases": "phrases", "hard_negative": "edits", "verify": "answer"}


@contextmanager
def serving(replay: Replay) -> Iterator[str]:
    """The base URL of a server on this machine that gives a replay's answers, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text, image = _read(asked["messages"][-1]["content"])
            schema = asked["response_format"]["json_schema"]["schema"]
            body = json.dumps(replay.answer(text, image, schema))
            message = {"role": "assistant", "content": body}
            usage = {"prompt_tokens": len(text) // 4, "completion_tokens": len(body) // 4}
            self._send({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage})

        def _send(self, content: Mapping[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Requests are counted, not logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(content: str | Sequence[Mapping[str, Any]]) -> tuple[str, Image.Image | None]:
    if isinstance(content, str):
        return content, None
    text = "".join(part["text"] for part in content if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return text, Image.open(io.BytesIO(base64.b64decode(urls[0].partition(",")[2]))) if urls else None


def _look(image: Image.Image) -> np.ndarray:
    """(24, 24, 3) float32: what is left of an image when it is small."""
    return np.asarray(image.convert("RGB").resize((_LOOK_PX, _LOOK_PX), Image.Resampling.BOX), np.float32)


def _nearest(places: Sequence[_Place], image: Image.Image | None) -> _Place:
    assert image is not None, "the question came without its image"
    look = _look(image)
    return min(places, key=lambda place: float(np.abs(place.look - look).mean()))


def _after(text: str, mark: str) -> str:
    """The first quoted words after a mark."""
    match = re.compile(rf'{re.escape(mark)} "([^"]*)"').search(text)
    assert match is not None, f"the prompt has no {mark} in it"
    return match[1]


def _statement(text: str) -> tuple[str, str]:
    if match := re.search(r'Statement: "(.*)" - is every word', text):
        return "text", match[1]
    if match := re.search(r"Statement: this thing is an? (.*)\.", text):
        return "object", match[1]
    match = re.search(r"as its (\w+), that it is (.*)\.", text)
    assert match is not None, "the prompt states nothing"
    return match[1], match[2]
