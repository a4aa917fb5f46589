"""Names that UTF-8 cannot hold, or that hold control characters, as text that can be stored, printed and turned back. Opens nothing."""

import hashlib
import re

# U+241B, the sign that stands for "escape", and two hexadecimal digits for a byte of the name. The sign itself is written so too:
# no two names have one text, and a name without any of these is its own text.
_SIGN = "\u241b"
_ODD = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff{_SIGN}]")
_WRITTEN = re.compile(f"(?:{_SIGN}[0-9A-F]{{2}})+")


def storable(name: str) -> str:
    """The name of a file or member as text: what Python's `surrogateescape` made of other bytes, and control characters, escaped."""
    return _ODD.sub(_escaped, name) if _ODD.search(name) else name


def original(text: str) -> str:
    """The name that `storable` made this text of, as Python's file functions take it."""
    return _WRITTEN.sub(_restored, text) if _SIGN in text else text


def rank(name: str) -> bytes:
    """By what a sample of named things is drawn: the smallest ranks, whatever the order in which the things come."""
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()


def _escaped(sign: re.Match[str]) -> str:
    try:
        data = sign[0].encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        data = sign[0].encode("utf-8", "surrogatepass")
    return "".join(f"{_SIGN}{byte:02X}" for byte in data)


def _restored(escape: re.Match[str]) -> str:
    return bytes.fromhex(escape[0].replace(_SIGN, "")).decode("utf-8", "surrogateescape")
