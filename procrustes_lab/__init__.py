"""Procrustes Lab: align embedding models, and certify how well it can be done."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.alignment import Alignment, align
from .core.certificate import Certificate, certify
from .core.moments import Moments
from .core.polar import orthogonal_procrustes

if TYPE_CHECKING:
    from .core.estimator import ProcrustesAligner
    from .report.diagnosis import Diagnosis, diagnose

__version__ = "0.1.0"

__all__ = [
    "Alignment",
    "Certificate",
    "Diagnosis",
    "Moments",
    "ProcrustesAligner",
    "align",
    "certify",
    "diagnose",
    "orthogonal_procrustes",
]

# What needs more than NumPy and scipy.linalg, or is asked for less often, is imported when it is.
_LATER = {
    "Diagnosis": "report.diagnosis",
    "ProcrustesAligner": "core.estimator",
    "diagnose": "report.diagnosis",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
