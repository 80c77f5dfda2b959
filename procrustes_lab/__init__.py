"""Procrustes Lab: align embedding models, and certify how well it can be done."""

from typing import Any

from .alignment import Alignment, align, orthogonal_procrustes
from .certificate import Certificate, certify
from .moments import Moments

__version__ = "0.1.0"

__all__ = [
    "Alignment",
    "Certificate",
    "Moments",
    "ProcrustesAligner",
    "align",
    "certify",
    "orthogonal_procrustes",
]


def __getattr__(name: str) -> Any:
    # The estimator alone needs scikit-learn, so it is imported when it is asked for.
    if name == "ProcrustesAligner":
        from .estimator import ProcrustesAligner

        return ProcrustesAligner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
