"""The report's prose: paragraphs of `sentences.j2`, filled."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from procrustes_lab.lab.tables import Html


@cache
def _sentences() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # a while to import

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["f"] = format
    return templates.get_template("sentences.j2").module


def paragraphs(name: str, *given: Any) -> list[str]:
    """Return the paragraphs that `sentences.j2` has by that name, about what is given."""
    text = str(getattr(_sentences(), name)(*given)).strip()
    return [re.sub(r"\s*\n\s*", " ", part) for part in re.split(r"\n\s*\n\s*", text) if part]


def sentence(name: str, *given: Any) -> str:
    """Return `paragraphs` where they are one."""
    [text] = paragraphs(name, *given)
    return text


def entries(name: str, *given: Any) -> list[tuple[str, str]]:
    """Return `paragraphs` of the form ``what: value``."""
    return [
        (what, value) for what, _, value in (p.partition(": ") for p in paragraphs(name, *given))
    ]


def words(name: str, *given: Any) -> Html:
    """Show `paragraphs` as they are, as plain text."""
    texts = paragraphs(name, *given)
    return Html("".join(f"<p>{escape(text)}</p>" for text in texts), "\n\n".join(texts))
