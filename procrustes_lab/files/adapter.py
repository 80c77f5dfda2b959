"""The adapter: a fitted map in a file, with its direction and what it was made from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core import archive
from procrustes_lab.core.alignment import Alignment
from procrustes_lab.core.certificate import Certificate
from procrustes_lab.core.validate import require

DIRECTION = "new → old"
"""New vectors are carried into the old space, so that new queries search the old index."""

_REMEDY = "make it again with procrustes-lab fit"
_FACTS = ("source_sha256", "target_sha256", "name", "for_queries", "kept", "knots")


@dataclass(frozen=True, eq=False)
class Adapter:
    """An alignment of new vectors (source) with old ones (target), and where it comes from.

    Its file is a plain npz: what `Alignment.save` writes, so that `Alignment.load` reads it too,
    and beside that `direction`, both dimensions, the certificate's fields, and what else is here.
    """

    alignment: Alignment
    certificate: Certificate  # of the pairs that it was fitted on
    source_sha256: str  # of the bytes of the file of new vectors
    target_sha256: str  # and of old ones
    name: str = "turn"  # of the map, as in `procrustes_lab.search.maps.MAPS`
    for_queries: bool = True  # whether it makes queries, by `Alignment.query`, unless one says no
    # What it keeps of the new model's search, and the 95 % interval; NaN if nobody measured.
    kept: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    # Aligned scores and what the new model's own would be, (2, k), linear in between; k may be 0.
    knots: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0)))

    def carry(self, rows: ArrayLike, *, place: bool = False) -> NDArray[np.float64]:
        """Return new vectors as queries for the old index, or placed among the old vectors."""
        alignment = self.alignment
        return alignment.query(rows) if self.for_queries and not place else alignment.apply(rows)

    def recalibrated(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return what aligned scores would be by the old model, for thresholds set on those."""
        given = np.asarray(scores, float)
        return np.asarray(np.interp(given, *self.knots)) if self.knots.size else given

    def save(self, path: archive.StrPath) -> None:
        """Write the adapter to an npz file, complete or not at all."""
        facts = {name: vars(self)[name] for name in _FACTS}
        facts |= {f"certificate_{name}": value for name, value in vars(self.certificate).items()}
        dims = dict(zip(("source_dim", "target_dim"), self.alignment.map.shape, strict=True))
        self.alignment.save(path, direction=DIRECTION, **dims, **facts)

    @classmethod
    def load(cls, path: archive.StrPath) -> Adapter:
        """Read an adapter that `save` wrote.

        Raises OSError if there is no such file, and ValueError if it is damaged, of another
        version, or does not carry new vectors to old ones.
        """
        with archive.reading(path, "an adapter", _REMEDY) as fields:
            direction = fields.get("direction", "unknown")
            if direction == DIRECTION:
                known = Certificate.__dataclass_fields__
                certificate = Certificate(**{name: fields[f"certificate_{name}"] for name in known})
                facts = {name: fields[name] for name in _FACTS}
                facts |= {"name": str(facts["name"]), "for_queries": bool(facts["for_queries"])}
                facts["kept"] = tuple(facts["kept"].tolist())
                read = cls(Alignment.from_fields(fields), certificate, **facts)
                dims = fields["source_dim"], fields["target_dim"]
                hashes = bytes.fromhex(read.source_sha256), bytes.fromhex(read.target_sha256)
                sizes = dims, set(map(len, hashes)), len(read.kept), read.knots.shape[:-1]
                require(sizes == (read.alignment.map.shape, {32}, 3, (2,)), "sizes disagree")
                return read
        found = f"{path} has the direction {direction!r}, not {DIRECTION!r}"
        raise ValueError(f"{found}: {_REMEDY}")
