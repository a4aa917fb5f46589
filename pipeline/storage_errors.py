"""What went wrong with a root, in one line: which root, which operation, why, what to do. Touches no file."""

import errno
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

_FULL = ("it is full", "free space there or raise the quota, then run again")
_RIGHTS = ("no right to do so", "check its owner, mode or policy, and whether it is mounted read-only")
_CREDENTIALS = (
    "the credentials are missing, wrong or out of date",
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the node a role",
)
_GONE = ("it is gone or cannot be reached", "check the mount, or the bucket's name and AWS_ENDPOINT_URL")
_IN_THE_WAY = ("a file lies where a folder is wanted, or a folder where a file is", "choose another place, or move it away")
_UNKNOWN = ("it failed", "run again; if it stays, check the disk or the network")
_BY_NUMBER = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
    **dict.fromkeys((errno.ENOENT, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN, errno.ENOTCONN, errno.ETIMEDOUT), _GONE),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST), _IN_THE_WAY),
}
_BY_TYPE: tuple[tuple[type[OSError], tuple[str, str]], ...] = (
    (FileNotFoundError, _GONE),
    (PermissionError, _RIGHTS),
    (TimeoutError, _GONE),
    (ConnectionError, _GONE),
)
# Codes and names that S3 and its library give; the first that is found in the chain of causes counts.
_BY_NAME = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed"),
        _CREDENTIALS,
    ),
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "UnauthorizedSSOTokenError"), _CREDENTIALS),
    **dict.fromkeys(("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"), _GONE),
    **dict.fromkeys(("NoSuchBucket", "InvalidEndpointURLError", "ProxyConnectionError", "ClientPayloadError"), _GONE),
    **dict.fromkeys(("QuotaExceeded", "TooManyBuckets", "InsufficientStorage", "XMinioStorageFull"), _FULL),
}


class StorageFailure(OSError):
    """A root that cannot be read or written; the message names it, the operation and the cause."""

    def __str__(self) -> str:
        return str(self.strerror)


class FileGone(StorageFailure, FileNotFoundError):
    """The same where a file, or its root, is not there."""


Method = TypeVar("Method", bound=Callable[..., Any])


def named(operation: str, errors: Callable[[], tuple[type[Exception], ...]]) -> Callable[[Method], Method]:
    """Of a root's method: its errors say in one line what failed. The first argument is the path below the root."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except StorageFailure:
                raise
            except errors() as error:
                path = next(iter(args), "")
                raise failure(self.root, operation, path if isinstance(path, str) else "", error) from error

        return cast("Method", inner)

    return decorate


def in_one_line(error: Exception) -> str:
    """What is said of an error of reading or writing, wherever it was raised: here, or in a worker, whose cause it is then."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, StorageFailure):
        return str(cause)
    cause_text, act = _cause(cause)
    place = getattr(cause, "filename", None)
    return f"{f'{place}: ' if place else ''}{cause_text} ({type(cause).__name__}: {' '.join(str(cause).split())[:300]}); {act}"


def failure(root: str, operation: str, path: str, error: Exception) -> StorageFailure:
    """The error as users read it. It stays a FileNotFoundError where it was one."""
    cause, act = _cause(error)
    message = " ".join(str(error).split())[:200] or type(error).__name__
    text = f"{root}: cannot {operation}{f' {path}' if path else ''}: {cause} ({message}); {act}"
    number = (error.errno if isinstance(error, OSError) else None) or errno.EIO
    return (FileGone if isinstance(error, FileNotFoundError) else StorageFailure)(number, text)


def _cause(error: Exception) -> tuple[str, str]:
    for name in _names(error):
        if name in _BY_NAME:
            return _BY_NAME[name]
    if isinstance(error, OSError):
        if error.errno in _BY_NUMBER:
            return _BY_NUMBER[error.errno]
        return next((cause for kind, cause in _BY_TYPE if isinstance(error, kind)), _UNKNOWN)
    return _UNKNOWN


def _names(error: BaseException | None) -> Iterator[str]:
    """Type names and S3 codes along the chain of causes."""
    while error is not None:
        response: Any = getattr(error, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
        if isinstance(code, str):
            yield code
        yield type(error).__name__
        error = error.__cause__
