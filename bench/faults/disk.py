"""Storage that fails at every N of a small run's operations: an error, a full disk, half a write, an end beside a rename, lost rights.

The run is the real one up to Ray: in one process, so that the same N is the same operation each time, and forked for each injection.
"""

import asyncio
import builtins
import contextlib
import errno
import functools
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from bench.faults.job import ROOT, compare_files, dataset, write_job
from bench.faults.table import Fault, Tally
from bench.measure import printed_object

_CRASHED = 77
_KEYS, _UNIT_SIZE = 4, 2
_OPERATIONS = (
    "write",
    "write_file",
    "write_if_absent",
    "read",
    "read_ranges",
    "read_many",
    "open",
    "exists",
    "is_file",
    "delete",
    "files",
    "walk",
    "folders",
)
# What Python asks of the system below those, by path; only of paths of the job.
_SYSTEM = ("scandir", "stat", "lstat", "mkdir", "unlink", "replace", "link")
# What each kind of fault must be called in the message.
_WORDS = {"error": "it failed", "system call": "Input/output error", "full disk": "it is full", "lost rights": "no right to do so"}


class _Faults:
    """Counts the operations of this process and fails at the N-th, or from it on. 0: counts alone."""

    def __init__(self, kind: str, number: int, root: str) -> None:
        self.kind, self.number, self.root = kind, number, root
        self.count = 0
        self.struck_at: float | None = None

    def strikes(self) -> bool:
        """Whether this operation is the one, or one after it where the fault lasts."""
        self.count += 1
        lasts = self.kind in ("full disk", "lost rights")
        hit = self.number > 0 and (self.count >= self.number if lasts else self.count == self.number)
        if hit and self.struck_at is None:
            self.struck_at = time.monotonic()
        return hit


def _install(faults: _Faults) -> None:
    """Puts the fault under Storage: into the calls that it makes of the system, or where those are many, into its own methods."""
    from pipeline import storage

    if faults.kind in ("crash before rename", "crash after rename"):
        for name in ("replace", "link"):
            setattr(os, name, _with_crash(getattr(os, name), faults))
    elif faults.kind == "system call":
        for name in _SYSTEM:
            setattr(os, name, _failing_below(getattr(os, name), faults))
        io.open = _failing_below(io.open, faults)
        builtins.open = _failing_below(builtins.open, faults)
    elif faults.kind in ("full disk", "short write"):
        io.open = _with_short_writes(io.open, faults)  # type: ignore[assignment]  # what Path.open calls
    else:
        number = errno.EIO if faults.kind == "error" else errno.EACCES
        for name in _OPERATIONS:
            inner = getattr(storage.Storage, name).__wrapped__
            failing = _failing(inner, faults, number)
            setattr(storage.Storage, name, storage.named(_verb(name), storage.remote_errors)(failing))


def _verb(name: str) -> str:
    return {"delete": "remove", "files": "list", "walk": "list", "folders": "list"}.get(
        name, "read" if "r" in name[:1] else name.split("_")[0]
    )


def _failing(method: Callable[..., Any], faults: _Faults, number: int) -> Callable[..., Any]:
    @functools.wraps(method)
    def inner(*args: Any, **kwargs: Any) -> Any:
        if faults.strikes():
            raise OSError(number, os.strerror(number))
        return method(*args, **kwargs)

    return inner


def _failing_below(call: Callable[..., Any], faults: _Faults) -> Callable[..., Any]:
    @functools.wraps(call)
    def inner(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, str | os.PathLike) and _is_stored(faults.root, os.fspath(path)) and faults.strikes():
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return call(path, *args, **kwargs)

    return inner


def _is_stored(root: str, path: str | bytes) -> bool:
    return isinstance(path, str) and any(path.startswith(f"{root}/{part}") for part in ("work", "corpus", "dataset"))


def _with_crash(call: Callable[..., Any], faults: _Faults) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        strikes = faults.strikes()
        if strikes and faults.kind == "crash before rename":
            os._exit(_CRASHED)
        result = call(*args, **kwargs)
        if strikes:
            os._exit(_CRASHED)
        return result

    return inner


def _with_short_writes(call: Callable[..., Any], faults: _Faults) -> Callable[..., Any]:
    def inner(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        opened = call(file, mode, *args, **kwargs)
        if "w" in mode and ".writing-" in str(file) and faults.strikes():
            return _Short(opened, faults)
        return opened

    return inner


class _Short:
    """A file that takes half of what it is given, then says that the disk is full, or ends the process."""

    def __init__(self, file: Any, faults: _Faults) -> None:
        self._file, self._faults = file, faults

    def __enter__(self) -> "_Short":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> NoReturn:
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        if self._faults.kind == "short write":
            os._exit(_CRASHED)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _run(config: Path) -> None:
    """`fgdata run` without Ray: its own workers, in this process."""
    from pipeline import api
    from pipeline.run.runner import Runner
    from pipeline.run.worker import Done, StageWorker

    class InProcess(Runner):
        def run(self) -> None:
            for node in self.state.graph:
                self.state.ledger.declare(node.description)
                worker = StageWorker(self._job(node))
                tasks = [self.task(node, item) for item in self.state.items(node.name) if not self.state.is_done(node.name, item)]

                async def carry(worker: StageWorker = worker, tasks: list[Any] = tasks) -> list[Done]:
                    return [await worker.carry(task) for task in tasks]

                for done in asyncio.run(carry()):
                    for table in done.tables:
                        self.state.add(table)

    @contextlib.contextmanager
    def connected(*_: object) -> Iterator[str]:
        yield "no logs"

    api.Runner = InProcess  # type: ignore[misc]
    api.connected = connected  # type: ignore[assignment]
    api.check_cluster = lambda *_: iter(())  # type: ignore[assignment]
    api.run(api.open_job(config))
    state = api.open_job(config).state()
    pending = [node.name for node in state.graph if state.has_pending(node.name)]
    assert not pending, f"still pending: {pending}"


def _child(config: Path, kind: str, number: int, ending_file: Path) -> NoReturn:
    """Runs the job with the fault; says what became of it in `ending_file`, unless it is to end without a word."""
    from pipeline.storage import StorageError, remote_errors
    from pipeline.storage_errors import in_one_line

    faults, code, message = _Faults(kind, number, str(config.parent)), 0, ""
    try:
        _install(faults)
        _run(config)
    except remote_errors() as error:
        code, message = 2, in_one_line(error)
    except (StorageError, ValueError) as error:
        code, message = 2, str(error)
    except BaseException as error:  # noqa: BLE001  # a child never returns into its parent's code
        code, message = 1, f"{type(error).__name__}: {error}"
    noticed_s = None if faults.struck_at is None else time.monotonic() - faults.struck_at
    ending_file.write_text(json.dumps({"count": faults.count, "message": message, "noticed_s": noticed_s}))
    os._exit(code)


def _forked(config: Path, kind: str, number: int) -> tuple[int, dict[str, Any]]:
    ending_file = config.parent / "ending.json"
    process = os.fork()
    if process == 0:
        _child(config, kind, number, ending_file)
    _, status = os.waitpid(process, 0)
    content = json.loads(ending_file.read_text()) if ending_file.exists() else {"count": 0, "message": "", "noticed_s": None}
    ending_file.unlink(missing_ok=True)
    return os.waitstatus_to_exitcode(status), content


def serve(scratch: Path, kind: str, times: int) -> Tally:
    """All injections of one kind; must run in a process that has started no thread."""
    from pipeline.run import preflight

    # What is the same for all children is done once: the modules that a run imports, and the look at all installed packages.
    collisions = preflight.collisions()
    preflight.collisions = lambda: collisions  # type: ignore[assignment]
    tally = Tally()
    config = _job(scratch / "undisturbed")
    for module in _imported(_job(scratch / "imports")):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    code, ending = _forked(config, kind, 0)
    assert code == 0, ending
    reference, total = dataset(config), int(ending["count"])
    print(kind, total, "operations", file=sys.stderr, flush=True)
    step = max(1, total // times)
    for number in range(1, total + 1, step):
        config = _job(scratch / f"run{number}")
        code, ending = _forked(config, kind, number)
        tally.injected += 1
        _look(tally, kind, number, config, code, ending)
        code, ending = _forked(config, kind, 0)
        if code:
            tally.wrong = f"operation {number}: the rerun ended with {code}: {ending['message']}"
        compare_files(tally, config, reference, _KEYS)
        if tally.wrong:
            break
        shutil.rmtree(config.parent)
    return tally


def _look(tally: Tally, kind: str, number: int, config: Path, code: int, ending: dict[str, Any]) -> None:
    """What was said of the fault: exit 2, the root, the cause; a fault that nothing had to notice is let pass."""
    if code == _CRASHED or (code == 0 and kind in ("error", "system call")):
        return
    root, word = str(config.parent), _WORDS.get(kind, "")
    if code != 2 or root not in ending["message"] or word not in ending["message"] or "\n" in ending["message"]:
        tally.wrong = f"operation {number}: exit {code}: {ending['message'] or 'nothing said'}"
    if ending["noticed_s"] is not None:
        tally.noticed(ending["noticed_s"])
    tally.message = tally.message or ending["message"].replace(root, "WORKDIR")


def _imported(config: Path) -> list[str]:
    """What a run imports beside what is here."""
    names, before = config.parent / "modules", set(sys.modules)
    process = os.fork()
    if process == 0:
        _run(config)
        names.write_text("\n".join(sorted({*sys.modules} - before)))
        os._exit(0)
    os.waitpid(process, 0)
    return names.read_text().splitlines()


def _job(folder: Path) -> Path:
    return write_job(folder, {"delay_s": 0.0}, keys=_KEYS, unit_size=_UNIT_SIZE)


def _faults(kind: str) -> Callable[[Path, int], Tally]:
    def inject(scratch: Path, times: int) -> Tally:
        code = "import json, sys; from pathlib import Path; from bench.faults.disk import serve; "
        code += "print(json.dumps(vars(serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))))"
        arguments = [sys.executable, "-c", code, str(scratch), kind, str(times)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            return Tally(wrong=done.stderr.strip().splitlines()[-1][:300])
        return Tally(**printed_object(done.stdout))

    return inject


_EVERY = 1_000_000
FAULTS: tuple[Fault, ...] = (
    Fault("storage: an operation fails (EIO)", _faults("error"), _EVERY, 4),
    Fault("storage: a call of the system fails (EIO)", _faults("system call"), _EVERY, 2),
    Fault("storage: the disk is full from then on", _faults("full disk"), _EVERY, 2),
    Fault("storage: half a write, then the end", _faults("short write"), _EVERY, 0),
    Fault("storage: the end before a rename", _faults("crash before rename"), _EVERY, 2),
    Fault("storage: the end after a rename", _faults("crash after rename"), _EVERY, 0),
    Fault("storage: rights are lost from then on", _faults("lost rights"), _EVERY, 2),
)
