"""Colour profiles and PNG files made from their parts: what cameras, scanners and editors write, and Pillow cannot."""

import struct
import zlib
from collections.abc import Mapping, Sequence

Colour = tuple[float, float, float]
_D50 = (0.9642, 1.0, 0.8249)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def raw_png(kind: int, bits: int, size: tuple[int, int], rows: bytes, chunks: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A PNG of this colour type and depth; `rows` hold a filter byte each."""
    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, body) for name, body in parts)


def matrix_profile(red: Colour, green: Colour, blue: Colour, gamma: float) -> bytes:
    """An RGB profile of these primaries, XYZ relative to D50."""
    curves = {name: _curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"RGB ", {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue), **curves})


def grey_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def _profile(space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    words = b"test\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(words)) + words + bytes(78)
    every = {b"desc": described, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(_D50), **tags}
    offset, table, data = 132 + 12 * len(every), b"", b""
    for name, content in every.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += padded
    body = struct.pack(">I", len(every)) + table + data
    head = struct.pack(">I", 128 + len(body)) + bytes(4) + b"\x02\x10\0\0" + b"mntr" + space + b"XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(map(_fixed, _D50))
    return head + bytes(128 - len(head)) + body


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(colour: Colour) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, colour))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


PROFILES = {
    "wide": matrix_profile((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249), 1.8),
    "adobe": matrix_profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), 2.2),
    "swapped": matrix_profile((0.1431, 0.0606, 0.7141), (0.3851, 0.7169, 0.0971), (0.4360, 0.2225, 0.0139), 2.2),
    "p3": matrix_profile((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841), 2.2),
}
GREYS = {"linear": grey_profile(1.0), "dark": grey_profile(2.8)}
