"""One thing that is looked at before a run, whoever looks. Looks at nothing itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`detail` says what was found; `act` what to do where it is not well."""

    name: str
    is_ok: bool
    detail: str
    act: str = ""
