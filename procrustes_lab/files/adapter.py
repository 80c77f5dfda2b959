"""The adapter: a fitted map in a file, with its direction and what it was made from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from procrustes_lab.core import archive
from procrustes_lab.core.alignment import FORMAT, Alignment
from procrustes_lab.core.certificate import Certificate

DIRECTION = "new → old"
"""New vectors are carried into the old space, so that new queries search the old index."""

_REMEDY = "make it again with procrustes-lab fit"


@dataclass(frozen=True, eq=False)
class Adapter:
    """An alignment of new vectors with old ones, and where it comes from.

    Its file is a plain npz: what `Alignment.save` writes, so that `Alignment.load` reads it too,
    and beside it `direction`, both dimensions, the two hashes, and the certificate's fields.

    Attributes
    ----------
    alignment : Alignment
        Carries new vectors (source) into the old space (target).
    certificate : Certificate
        Of the pairs that it was fitted on.
    source_sha256, target_sha256 : str
        Of the bytes of the files of new and of old vectors.
    """

    alignment: Alignment
    certificate: Certificate
    source_sha256: str
    target_sha256: str

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
        return cls(alignment, certificate, *hashes)
