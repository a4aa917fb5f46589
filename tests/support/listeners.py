"""Which addresses the processes of a run listen on, and what a stranger is answered there."""

import contextlib
import socket
from pathlib import Path

LISTEN = "0A"


def listeners(processes: list[int]) -> list[tuple[str, int, str]]:
    """Address, port and command line of each TCP listener of these processes."""
    listening = _listening()
    rows = []
    for process in processes:
        folder = Path(f"/proc/{process}")
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            for handle in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    inode = str(handle.readlink()).removeprefix("socket:[").removesuffix("]")
                    if inode in listening:
                        rows.append((*listening[inode], line))
    return sorted(set(rows))


def outer_address() -> str | None:
    """An address of this machine that is not loopback; None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # a datagram socket sends nothing by being connected
        address = probe.getsockname()[0]
        return None if address.startswith("127.") else address
    return None


def _listening() -> dict[str, tuple[str, int]]:
    by_inode = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                address, port = fields[1].split(":")
                by_inode[fields[9]] = (_written(address), int(port, 16))
    return by_inode


def _written(address: str) -> str:
    raw = b"".join(bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8))
    if raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
