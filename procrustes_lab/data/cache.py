"""What is slow is made once and kept, in a file named after all that it follows from."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
from threadpoolctl import threadpool_info

from procrustes_lab.core.archive import replacing

Folder = str | os.PathLike[str]


def data_folder(data_home: Folder | None = None) -> Path:
    """Return the folder of data and caches, which need not exist.

    It is `data_home`, else what the environment variable ``PROCRUSTES_LAB_DATA`` names, else
    the user's cache folder.
    """
    if named := data_home or os.environ.get("PROCRUSTES_LAB_DATA"):
        return Path(named).expanduser()
    return platformdirs.user_cache_path("procrustes-lab", appauthor=False)


def cached(
    label: str, recipe: object, make: Callable[[], bytes], data_home: Folder | None = None
) -> bytes:
    """Return ``make()``, kept in the data folder until the recipe changes.

    Parameters
    ----------
    label : str
        Opens the file's name.
    recipe : object
        All that the content follows from; its ``repr`` completes the file's name, together with
        the processor kind that the linear algebra is tuned to: that decides the last bits.
    make : callable
        Makes the content where there is no file, or one that is damaged.
    data_home : path, optional
        See `data_folder`. Where it cannot be written, nothing is kept.
    """
    kinds = sorted({library.get("architecture", "") for library in threadpool_info()} - {""})
    name = hashlib.sha256(repr((recipe, kinds)).encode()).hexdigest()[:16]
    path = data_folder(data_home) / f"{label}-{name}"
    with contextlib.suppress(OSError):
        digest, content = (kept := path.read_bytes())[:32], kept[32:]
        if digest == hashlib.sha256(content).digest():
            return content
    content = make()
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:  # no reader ever meets half a file
            file.write(hashlib.sha256(content).digest() + content)
    return content
