"""The adapter: a fitted map in a file, with its direction and what it was made from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core import archive
from procrustes_lab.core.alignment import FORMAT, Alignment
from procrustes_lab.core.certificate import Certificate

DIRECTION = "new → old"
"""New vectors are carried into the old space, so that new queries search the old index."""

_REMEDY = "make it again with procrustes-lab fit"


@dataclass(frozen=True, eq=False)
class Adapter:
    """An alignment of new vectors with old ones, and where it comes from.

    Its file is a plain npz: what `Alignment.save` writes, its whitening, centring and shrinking
    among it, so that `Alignment.load` reads it too; and beside it `direction`, both dimensions, the
    two hashes, the certificate's fields, and what else is below.

    Attributes
    ----------
    alignment : Alignment
        Carries new vectors (source) into the old space (target).
    certificate : Certificate
        Of the pairs that it was fitted on.
    source_sha256, target_sha256 : str
        Of the bytes of the files of new and of old vectors.
    name : str
        Of the map, as in `procrustes_lab.search.maps.MAPS`.
    for_queries : bool
        Whether it is to make queries, by `Alignment.query`, unless one says otherwise.
    kept : (float, float, float)
        What it keeps of the new model's search, and the 95 % interval; NaN if nobody measured.
    knots : ndarray, shape (2, k)
        Aligned scores and what the new model's own would be, linear in between; k may be 0.
    """

    alignment: Alignment
    certificate: Certificate
    source_sha256: str
    target_sha256: str
    name: str = "turn"
    for_queries: bool = True
    kept: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    knots: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0)))

    def carry(self, rows: ArrayLike, *, place: bool = False) -> NDArray[np.float64]:
        """Return new vectors as queries for the old index, or placed among the old vectors."""
        alignment = self.alignment
        return alignment.query(rows) if self.for_queries and not place else alignment.apply(rows)

    def recalibrated(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return what aligned scores would be by the old model, for thresholds set on those."""
        given = np.asarray(scores, float)
        return np.asarray(np.interp(given, *self.knots)) if self.knots.size else given

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the adapter to an npz file, complete or not at all."""
        source_dim, target_dim = self.alignment.map.shape
        self.alignment.save(
            path,
            direction=DIRECTION,
            source_dim=source_dim,
            target_dim=target_dim,
            source_sha256=self.source_sha256,
            target_sha256=self.target_sha256,
            name=self.name,
            for_queries=self.for_queries,
            kept=np.array(self.kept),
            knots=self.knots,
            **{f"certificate_{name}": value for name, value in vars(self.certificate).items()},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Adapter:
        """Read an adapter that `save` wrote.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If it is damaged, of another version, or does not carry new vectors to old ones.
        """
        with archive.reading(path, "an adapter", _REMEDY) as fields:
            version, direction = fields["format"], fields.get("direction")
            if (version, direction) == (FORMAT, DIRECTION):
                return cls._from_fields(fields)
        name = os.fspath(path)
        if version != FORMAT:
            raise ValueError(
                f"{name} is of version {version}, and expected is version {FORMAT}: {_REMEDY}"
            )
        if direction is None:
            raise ValueError(
                f"{name} is a map without a direction, and may lead either way: {_REMEDY}, or use "
                "it from Python by Alignment.load"
            )
        raise ValueError(f"{name} has the direction {direction!r}, not {DIRECTION!r}: {_REMEDY}")

    @classmethod
    def _from_fields(cls, fields: Mapping[str, Any]) -> Adapter:
        alignment = Alignment.from_fields(fields)
        known = Certificate.__dataclass_fields__
        certificate = Certificate(**{field: fields[f"certificate_{field}"] for field in known})
        hashes = fields["source_sha256"], fields["target_sha256"]
        dims = fields["source_dim"], fields["target_dim"]
        if alignment.map.shape != dims or not all(len(bytes.fromhex(h)) == 32 for h in hashes):
            raise ValueError("sizes disagree, or a hash is none")
        name, kept, knots = str(fields["name"]), fields["kept"].tolist(), fields["knots"]
        if len(kept) != 3 or knots.shape[:-1] != (2,):
            raise ValueError("what it keeps, or a recalibration, has another size")
        return cls(
            *(alignment, certificate, *hashes),
            *(name, bool(fields["for_queries"]), tuple(kept), knots),
        )
