"""Images that end the engine: alone, several in a unit, one in every unit, all of them."""

from bench.faults.table import Fault

FAULTS: tuple[Fault, ...] = ()
