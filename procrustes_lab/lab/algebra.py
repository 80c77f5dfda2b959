"""Traces of products of matrices of every size, in exact algebra."""

from collections.abc import Mapping
from typing import Any

import sympy as sp


def trace(expression: Any, transposed: Mapping[Any, Any] | None = None) -> Any:
    """Write each product in a sum as the first of all those that have the same trace.

    A trace does not change when a product's factors are rotated, nor when it is transposed. So two
    sums of products of non-commuting symbols have equal traces, whatever the matrices' size, if
    this makes them equal. `transposed` has each matrix's transpose; without it products are rotated
    only.
    """
    total = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(expression)):
        numbers, powers = term.args_cnc()
        word = [f.as_base_exp()[0] for f in powers for _ in range(int(f.as_base_exp()[1]))]
        words = [word, [transposed[letter] for letter in reversed(word)]] if transposed else [word]
        rotations = [w[i:] + w[:i] for w in words for i in range(max(len(w), 1))]
        total += sp.Mul(*numbers) * sp.Mul(*min(rotations, key=str))
    return sp.expand(total)
