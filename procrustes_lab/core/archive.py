"""Files written complete or not at all; and plain npz files, read without pickling."""

import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

StrPath = str | os.PathLike[str]

# What a damaged file, or one of another kind, can raise, beside BadZipFile.
UNREADABLE = ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, RuntimeError


@contextmanager
def replacing(path: StrPath) -> Iterator[IO[bytes]]:
    """Give a file beside `path` to write, and put it in the place of `path` once it is complete.

    Only a regular file is replaced, no folder or device. Its mode is kept, and where links lead.
    """
    path = Path(path)
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"{path} is {kind}; expected the name of a file to write")
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with blaming(path, beside):
            with open(beside, "xb") as file:
                if path.exists():
                    shutil.copymode(path, beside)
                yield file
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def blaming(path: StrPath, *also: StrPath) -> Iterator[None]:
    """Name `path` in errors of the system that name no file, or one of those in `also`."""
    try:
        yield
    except OSError as error:
        own = not error.filename or error.filename in [os.fspath(name) for name in also]
        if error.errno and own:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def check_regular(path: StrPath) -> None:
    """Raise ValueError for a pipe or a device, which would be waited for, or read, for ever."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise ValueError(f"{os.fspath(path)} is no regular file; expected one")


def write(path: StrPath, **fields: Any) -> None:
    """Write named arrays and numbers to an npz file."""
    whole = io.BytesIO()  # a zip archive cannot be left half-way without complaint
    np.savez(whole, **fields)
    with replacing(path) as file:
        file.write(whole.getbuffer())


@contextmanager
def reading(path: StrPath, expected: str, remedy: str) -> Iterator[dict[str, Any]]:
    """Give the fields of a file, numbers as numbers; whatever is wrong with them is one ValueError.

    A file that is missing, or may not be read, raises its own OSError.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as members:  # `write` does not compress
            if sum(member.file_size for member in members.infolist()) > os.path.getsize(path):
                raise ValueError("it would take more memory than it should")
        with np.load(path, allow_pickle=False) as file:
            fields = {name: file[name] for name in file.files}
        yield {name: value if value.ndim else value.item() for name, value in fields.items()}
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        found = f"{os.fspath(path)} is not {expected} that this version can read, or it is damaged"
        raise ValueError(f"{found}: {remedy}") from error
