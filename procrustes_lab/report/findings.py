"""One finding, and all words that `diagnose` has for what it finds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from .pairing import Indices

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

NONE = np.empty(0, dtype=np.int64)

WORDS = tomllib.loads(Path(__file__).with_name("findings.toml").read_text(encoding="utf-8"))
"""What was `found` and the `remedy`, by kind; after a colon, a case with words of its own."""

KINDS = tuple(name for name in WORDS if ":" not in name)  # all that `diagnose` looks for


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Its kind is one of `KINDS`. Severity is "error": an alignment means nothing until it is mended;
    "warning": it changes the results; or "note": good to know. `sentence` and `remedy` are what was
    found, and what to do; `evidence` holds the numbers behind that, and `rows` the single rows that
    it is about, if any: suspects with the worst first.
    """

    kind: str
    severity: Severity
    sentence: str
    remedy: str
    evidence: Mapping[str, float]
    rows: Indices = field(default_factory=lambda: NONE, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Finding):
            return NotImplemented
        mine, theirs = ({**vars(one), "rows": one.rows.tolist()} for one in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.kind, self.sentence))


def found(name: str, severity: Severity, rows: Indices = NONE, /, **words: float | str) -> Finding:
    """Make a finding by its name in `WORDS`, filled by rows and words; its evidence are numbers."""
    evidence = {key: value for key, value in words.items() if not isinstance(value, str)}
    words["listed"] = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
    said, remedy = (
        " ".join(WORDS[name][part].format(**words).split()) for part in ("found", "remedy")
    )
    return Finding(name.partition(":")[0], severity, said, remedy, evidence, rows)
