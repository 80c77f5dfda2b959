"""What is slow is made once and kept, in a file named after all that it follows from."""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import platformdirs
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from procrustes_lab.core.archive import replacing

Folder = str | os.PathLike[str]

name_it = "name the folder that holds {} as data_home or in PROCRUSTES_LAB_DATA".format


def data_folder(data_home: Folder | None = None) -> Path:
    """Return the folder of data and caches, which need not exist.

    It is `data_home`, else what ``PROCRUSTES_LAB_DATA`` names, else the user's cache folder.
    """
    if named := data_home or os.environ.get("PROCRUSTES_LAB_DATA"):
        return Path(named).expanduser()
    return platformdirs.user_cache_path("procrustes-lab", appauthor=False)


def cached(
    label: str, recipe: object, make: Callable[[], bytes], data_home: Folder | None = None
) -> bytes:
    """Return ``make()``, kept in the data folder until the recipe changes.

    The file's name is the label and a hash of the recipe, all that the content follows from, and of
    the processor kind that the linear algebra is tuned to: that decides the last bits. A damaged
    file is made again; where `data_folder` cannot be written, nothing is kept.
    """
    kinds = sorted({library.get("architecture", "") for library in threadpool_info()} - {""})
    path = data_folder(data_home) / f"{label}-{joblib.hash((recipe, kinds))[:16]}"
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


def cached_arrays(
    label: str,
    recipe: object,
    make: Callable[[], Iterable[NDArray[Any]]],
    data_home: Folder | None = None,
) -> list[NDArray[Any]]:
    """Return the arrays of ``make()``, kept as by `cached`."""

    def written() -> bytes:
        file = io.BytesIO()
        np.savez(file, *make())
        return file.getvalue()

    with np.load(io.BytesIO(cached(label, recipe, written, data_home))) as file:
        return list(file.values())
