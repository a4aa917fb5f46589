"""S3 that fails: a small proxy on loopback before a moto server answers 5 % with errors, cuts bodies, or dawdles."""

import contextlib
import logging
import os
import random
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec

from bench.faults.job import Driver, compare_files, dataset, pending_stages, write_job
from bench.faults.loopback import LoopbackServer
from bench.faults.table import Fault, Tally

_KEYS, _SHARE = 14, 0.05
_ERROR = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>'
_DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


class _Proxy(LoopbackServer):
    """Passes each request on in a connection of its own; of a share of them something goes wrong, drawn by a fixed seed."""

    def __init__(self, upstream: tuple[str, int], kind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.kind = upstream, kind
        self._rng, self._lock = random.Random(f"s3/{kind}"), threading.Lock()
        self.is_armed = False
        self.struck: Counter[str] = Counter()

    def strikes(self, method: str) -> bool:
        """Whether this request is hit."""
        with self._lock:
            hit = self.is_armed and (self.kind == "denied" or self._rng.random() < _SHARE) and not (self.kind == "cut" and method != "GET")
            self.struck[method] += hit
            return hit


class _Handler(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._handle()

    def _handle(self) -> None:
        head = self._head()
        if not head:
            return
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
        length = next((int(line.partition(b":")[2]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        if b"expect: 100-continue" in head.lower():
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(length)
        method = lines[0].split(b" ")[0].decode()
        hit = self.server.strikes(method)
        if hit and self.server.kind in ("errors", "denied"):
            self._refuse(method)
            return
        with socket.create_connection(self.server.upstream) as upstream:
            upstream.sendall(b"\r\n".join([lines[0], b"Connection: close", *lines[1:]]) + b"\r\n\r\n" + body)
            reply = b"".join(iter(lambda: upstream.recv(65536), b""))
        start, _, content = reply.partition(b"\r\n\r\n")
        reply = start.replace(b"Connection: keep-alive", b"Connection: close") + b"\r\n\r\n" + content
        if hit and self.server.kind == "cut":
            reply = reply[: len(reply) - max(1, len(content) // 2)]
        if hit and self.server.kind == "slow":
            self._dawdle(reply)
            return
        self.connection.sendall(reply)

    def _refuse(self, method: str) -> None:
        line, body = (b"500 Internal Server Error", _ERROR) if self.server.kind == "errors" else (b"403 Forbidden", _DENIED)
        size = str(len(body)).encode()
        self.connection.sendall(b"HTTP/1.1 " + line + b"\r\nContent-Type: application/xml\r\nContent-Length: " + size)
        self.connection.sendall(b"\r\nConnection: close\r\n\r\n" + (b"" if method == "HEAD" else body))

    def _dawdle(self, reply: bytes) -> None:
        for at in range(0, len(reply), max(1, len(reply) // 10)):
            self.connection.sendall(reply[at : at + max(1, len(reply) // 10)])
            time.sleep(0.2)

    def _head(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b"\n", b""):
            lines.append(line.rstrip(b"\r\n"))
        return b"\r\n".join(lines)


@contextlib.contextmanager
def _store(kind: str) -> Iterator[_Proxy]:
    """A bucket `faults` behind the proxy; processes started meanwhile inherit its address and keys."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    before = dict(os.environ)
    try:
        with _Proxy(server.get_host_and_port(), kind).running() as proxy:
            os.environ.update(settings, AWS_ENDPOINT_URL=f"http://127.0.0.1:{proxy.server_address[1]}")
            fsspec.get_filesystem_class("s3").clear_instance_cache()  # those of the fault before have its address
            with contextlib.suppress(FileExistsError):  # moto keeps one memory a process
                _files().mkdir("faults")
            yield proxy
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(before)


def _files() -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)


def _job(folder: Path, place: str) -> Path:
    """The small job with everything in the bucket below `place`."""
    local = write_job(folder)
    _files().put(str(folder / "corpus"), f"faults/{place}/corpus", recursive=True)
    text = local.read_text()
    for name in ("work", "corpus", "dataset"):
        text = text.replace(f": {name}\n", f": s3://faults/{place}/{name}\n")
    local.write_text(text)
    return local


def _fetch(config: Path, place: str) -> Path:
    """The work and the data set, copied beside the configuration, where the comparison looks for them."""
    for name in ("work", "dataset"):
        _files().get(f"faults/{place}/{name}", str(config.parent / name), recursive=True)
    return config


def _failing(kind: str) -> Callable[[Path, int], Tally]:
    """Runs with such a store, each with one rerun where it stopped; compared with an undisturbed run."""

    def inject(scratch: Path, times: int) -> Tally:
        tally = Tally()
        with _store(kind) as proxy:
            reference = dataset(_fetch(_undisturbed(scratch, f"{kind}-undisturbed"), f"{kind}-undisturbed"))
            for number in range(times):
                if tally.wrong:
                    break
                place = f"{kind}-run{number}"
                config = _job(scratch / place, place)
                proxy.is_armed = True
                started = time.monotonic()
                code, stderr = Driver("run", config).ended()
                if code:
                    tally.noticed(time.monotonic() - started)
                    tally.message = stderr.strip().splitlines()[-1]
                    _look(tally, code, stderr)
                    proxy.is_armed = proxy.kind != "denied"
                    code, stderr = Driver("run", config).ended()
                proxy.is_armed = False
                if code:
                    tally.wrong = f"the rerun ended with {code}: {stderr[-300:]}"
                tally.injected = sum(proxy.struck.values())
                compare_files(tally, _fetch(config, place), reference, _KEYS)
                left = pending_stages(config)
                tally.wrong = tally.wrong or (f"pending after the rerun: {left}" if left else "")
        return tally

    return inject


def _look(tally: Tally, code: int, stderr: str) -> None:
    line = stderr.strip().splitlines()[-1]
    if code != 2 or "s3://faults/" not in line:
        tally.wrong = f"exit {code}: {line[:300]}"


def _undisturbed(scratch: Path, place: str) -> Path:
    config = _job(scratch / place, place)
    code, stderr = Driver("run", config).ended()
    assert code == 0, stderr
    return config


FAULTS: tuple[Fault, ...] = (
    Fault("S3 answers 5 % with errors", _failing("errors"), 3, 0),
    Fault("S3 cuts 5 % of the bodies", _failing("cut"), 3, 0),
    Fault("S3 is slow for 5 %", _failing("slow"), 2, 0),
    Fault("S3 denies everything from then on", _failing("denied"), 2, 0),
)
