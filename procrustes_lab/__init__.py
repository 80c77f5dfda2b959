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
    from .search.choose import Choice, choose

__version__ = "0.1.0"

__all__ = [
    "Alignment",
    "Certificate",
    "Choice",
    "Diagnosis",
    "Moments",
    "ProcrustesAligner",
    "align",
    "certify",
    "choose",
    "diagnose",
    "orthogonal_procrustes",
]

# What needs more than NumPy and scipy.linalg, or is asked for less often, is imported when it is.
_LATER = {
    "Choice": "search.choose",
    "Diagnosis": "report.diagnosis",
    "ProcrustesAligner": "core.estimator",
    "choose": "search.choose",
    "diagnose": "report.diagnosis",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
