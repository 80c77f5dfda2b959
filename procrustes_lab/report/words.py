"""What the report and `diagnose` say: templates and paragraphs, filled; and one finding."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np

from procrustes_lab.core.tables import Html
from procrustes_lab.search.retrieval import Indices

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

NONE = np.empty(0, dtype=np.int64)

WORDS = tomllib.loads(Path(__file__).with_name("findings.toml").read_text(encoding="utf-8"))
"""What was `found` and the `remedy`, by kind; after a colon, a case with words of its own."""

KINDS = tuple(name for name in WORDS if ":" not in name)  # all that `diagnose` looks for


@cache
def template(name: str) -> Any:
    """Return the template beside this file; in those of HTML all that is not safe is escaped."""
    import jinja2  # takes a while

    templates = jinja2.Environment(
        autoescape=jinja2.select_autoescape(["html.j2"]),
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["f"] = format
    return templates.get_template(name)


def paragraphs(name: str, *given: Any) -> list[str]:
    """Return the paragraphs that `sentences.j2` has by that name, about what is given."""
    text = str(getattr(template("sentences.j2").module, name)(*given)).strip()
    return [re.sub(r"\s*\n\s*", " ", part) for part in re.split(r"\n\s*\n\s*", text) if part]


def sentence(name: str, *given: Any) -> str:
    """Return `paragraphs` where they are one."""
    [text] = paragraphs(name, *given)
    return text


def words(name: str, *given: Any) -> Html:
    """Show `paragraphs` as they are, as plain text."""
    texts = paragraphs(name, *given)
    return Html("".join(f"<p>{escape(text)}</p>" for text in texts), "\n\n".join(texts))


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
    said, remedy = (" ".join(WORDS[name][of].format(**words).split()) for of in ("found", "remedy"))
    return Finding(name.partition(":")[0], severity, said, remedy, evidence, rows)
