"""Who may ask the Ray under a run: one that is started here listens on loopback and asks for a token that nobody else knows.

A joined cluster is used as it is. Whether it asks for a token is looked at from outside: with none.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

UNGUARDED = (
    "WARNING: the Ray at {address} asks nobody for a token: whoever reaches it over the network runs code as its user. "
    "Start it with RAY_AUTH_MODE=token, or keep its ports to yourself; see docs/security.md"
)
_ASK_S = 5.0
_LOOPBACK = "127.0.0.1"
# What libraries in workers open listeners on, where they need some on one machine: vLLM, torch's gloo, NCCL.
_ON_LOOPBACK = {"VLLM_HOST_IP": _LOOPBACK, "GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For the time of a Ray of our own: its listeners, and those of what runs in it, are on loopback and refuse who lacks its token.

    The token is new each time and stands in the environment, which Ray's processes and nobody else's inherit.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    settings = {**{name: os.environ.get(name, value) for name, value in _ON_LOOPBACK.items()}, **token}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    _read_settings()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_settings()


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """While Ray starts: it takes 127.0.0.1 for this node's address, as it does on systems without clusters, and listens there alone."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # the address given as a parameter would be resolved to an outer one
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _read_settings() -> None:
    """Ray keeps the mode and the token of its first use in a process."""
    from ray import _raylet

    compiled: Any = _raylet  # ships no types
    compiled.Config.initialize("")
    compiled.AuthenticationTokenLoader.instance().reset_cache()


Stance = Literal["open", "guarded", "no Ray"]


def stance(address: str, token: str | None = None) -> Stance:
    """How the head at this address answers a question that carries this token, or none."""
    import grpc

    metadata = None if token is None else (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask: Any = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        try:
            ask(b"", timeout=_ASK_S, metadata=metadata)
        except grpc.RpcError as error:
            code: Any = error.code()
            return "guarded" if code == grpc.StatusCode.UNAUTHENTICATED else "no Ray"
    return "open"


def is_silent(address: str) -> bool:
    """Whether a process of Ray takes a connection there and says nothing to a question, not even that it is none of its own."""
    import grpc

    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask: Any = channel.unary_unary("/ray.rpc.NodeManagerService/GetNodeStats")
        try:
            ask(b"", timeout=_ASK_S)
        except grpc.RpcError as error:
            code: Any = error.code()
            return bool(code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE))
    return False


def token_at_hand() -> str | None:
    """The token that Ray would show, from where Ray looks for it: the environment, a file that it names, a file at home."""
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with contextlib.suppress(OSError):
        token = token or path.read_text(encoding="utf-8")
    return token.strip() or None


@contextlib.contextmanager
def with_token() -> Iterator[None]:
    """While a cluster is joined that asks for a token: ours is shown, also where RAY_AUTH_MODE is not set here."""
    if "RAY_AUTH_MODE" in os.environ:
        yield
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    _read_settings()
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_MODE"]
        _read_settings()
