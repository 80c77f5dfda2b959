"""The report's templates, and its prose: paragraphs of `sentences.j2`, filled."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from procrustes_lab.core.tables import Html


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
