"""Claims: checked statements, kept in one ledger, and shown, also to programs, where made."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from procrustes_lab.core.tables import Html, table

CLAIM_MIME = "application/vnd.procrustes-lab.claim+json"

Value = bool | int | float | str

_SYMBOL = {"at_most": "≤", "at_least": "≥", "equals": "="}
_MARK = {True: "✓", False: "✗"}
_COLOUR = {True: "#009E73", False: "#D55E00"}


class ClaimError(AssertionError):
    """A claim that does not hold."""


@dataclass(frozen=True)
class Claim:
    """One checked statement, with values as JSON has them: rounded, infinities and NaN as text."""

    id: str
    sentence: str
    observed: Value
    relation: str
    bound: Value
    tolerance: float
    holds: bool
    margin: Value | None  # by how much it held; None where values are not compared as numbers

    @property
    def comparison(self) -> str:
        """The comparison in symbols, such as `0.827 ≤ 1.491`."""
        within = f" ± {shown(self.tolerance)}" if self.tolerance else ""
        return f"{shown(self.observed)} {_SYMBOL[self.relation]} {shown(self.bound)}{within}"

    def __str__(self) -> str:
        return f"{_MARK[self.holds]} {self.id}  {self.sentence}: {self.comparison}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        line = (
            f'<span style="color:{_COLOUR[self.holds]}">{_MARK[self.holds]}</span> '
            f"<b>{escape(self.id)}</b>&ensp;{escape(self.sentence)}: "
            f'<span style="white-space:nowrap">{escape(self.comparison)}</span>'
        )
        return {"text/plain": str(self), "text/html": line, CLAIM_MIME: asdict(self)}


# Each claim of this kernel, with the number of the execution that checked it.
_ledger: dict[str, tuple[Claim, int | None]] = {}


@dataclass(frozen=True)
class Result:
    """What came of one notebook; `failure` is None, or its cell and error in one line."""

    name: str
    seconds: float
    claims: tuple[Claim, ...]
    failure: str | None

    @property
    def held(self) -> int:
        """The number of claims that held."""
        return sum(claim.holds for claim in self.claims)


def claim(
    id: str,
    sentence: str,
    observed: Any,
    *,
    at_most: Any = None,
    at_least: Any = None,
    equals: Any = None,
    tolerance: float = 0.0,
) -> None:
    """Check that `observed` is at most, at least, or equal to a value; show it, and keep it.

    The id is short and unique in the notebook, such as `T2-lower`; the sentence has no numbers.
    Values are numbers, truth values or SymPy expressions; one that is no number is compared
    exactly, as it is written, so simplify it first. A number may lie beyond the bound, or off the
    value that it must equal, by the tolerance. The decision uses the values as given, and NaN
    satisfies nothing. What is shown is rounded to four significant digits, and an observed value
    and the margin also to twelve decimals, so that noise in which machines differ does not show.

    ClaimError if the claim does not hold; it is shown first. TypeError if not exactly one relation
    is given, or a value cannot be compared, and ValueError if the tolerance is negative or not
    finite, or the id was already used: not by the same cell, which may run again.
    """
    relations = {"at_most": at_most, "at_least": at_least, "equals": equals}
    given = {name: bound for name, bound in relations.items() if bound is not None}
    if len(given) != 1:
        found = f"claim {id!r} has {' and '.join(given) or 'none of them'}"
        raise TypeError(f"{found}: give exactly one of at_most, at_least and equals")
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"claim {id!r} has tolerance {tolerance}: expected 0 or more, and finite")
    from IPython import get_ipython  # heavy, and in a notebook there already
    from IPython.display import display

    execution = getattr(get_ipython(), "execution_count", None)
    if id in _ledger and _ledger[id][1] == execution:
        raise ValueError(f"claim {id!r} was already checked: give every claim an id of its own")

    [(relation, against)] = given.items()
    value, bound = _plain(observed, id, "observed"), _plain(against, id, relation)
    margin = _margin(id, relation, value, bound, float(tolerance))
    holds = value == bound if margin is None else margin >= 0
    values = _rounded(value, decimals=12), relation, _rounded(bound), float(tolerance), holds
    checked = Claim(id, sentence, *values, _rounded(margin, decimals=12))
    _ledger[id] = (checked, execution)
    display(checked)
    if not holds:
        raise ClaimError(f"{id} does not hold: {sentence}: {checked.comparison}")


def claims_table() -> Html:
    """Return every claim checked so far in this kernel, as something that displays as a table."""
    claims = [checked for checked, _ in _ledger.values()]
    rows = [(_MARK[c.holds], c.id, c.sentence, c.comparison, shown(c.margin)) for c in claims]
    summary = f"{sum(one.holds for one in claims)} of {len(claims)} claims hold."
    return table(["", "id", "claim", "observed and bound", "margin"], rows, caption=summary)


def trace(expression: Any, transposed: Mapping[Any, Any] | None = None) -> Any:
    """Write each product in a sum as the first of all those that have the same trace.

    A trace does not change when a product's factors are rotated, nor when it is transposed. So two
    sums of products of non-commuting symbols have equal traces, whatever the matrices' size, if
    this makes them equal. `transposed` has each matrix's transpose; without it products are rotated
    only.
    """
    import sympy as sp

    total = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(expression)):
        numbers, powers = term.args_cnc()
        word = [f.as_base_exp()[0] for f in powers for _ in range(int(f.as_base_exp()[1]))]
        words = [word, [transposed[letter] for letter in reversed(word)]] if transposed else [word]
        rotations = [w[i:] + w[:i] for w in words for i in range(max(len(w), 1))]
        total += sp.Mul(*numbers) * sp.Mul(*min(rotations, key=str))
    return sp.expand(total)


def _plain(value: Any, id: str, name: str) -> Value:
    """Return `value` as a Python number, bool or string (a SymPy expression that is no number)."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    if hasattr(value, "free_symbols"):
        with suppress(TypeError):  # it has symbols, or is complex
            return float(value)
        return str(value)
    if getattr(value, "size", None) == 1:
        return _plain(value.item(), id, name)
    found = f"an array of shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
    expected = "expected a real number, a bool or a SymPy expression"
    raise TypeError(f"claim {id!r} has {found} as {name}: {expected}")


def _margin(id: str, relation: str, value: Value, bound: Value, tolerance: float) -> float | None:
    """Return by how much the claim holds: at least zero exactly if it does."""
    if isinstance(value, bool | str) or isinstance(bound, bool | str):
        if relation == "equals":
            return None
        compared = f"claim {id!r} compares {value!r} with {bound!r}"
        raise TypeError(f"{compared}: {relation} needs two numbers")
    if value == bound:  # also where both are the same infinity
        return tolerance
    if relation == "equals":
        return tolerance - abs(value - bound)
    return tolerance + (bound - value if relation == "at_most" else value - bound)


def _rounded(value: Any, decimals: int | None = None) -> Any:
    """Round a float to four significant digits, and further to `decimals`; the rest is exact."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.4g}")
    return rounded if decimals is None else round(rounded, decimals) + 0.0  # never -0.0


def shown(value: Value | None) -> str:
    """Write a value, with four significant digits at most; None is nothing."""
    return f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)
