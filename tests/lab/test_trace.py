"""Traces of words against matrices of numbers."""

import numpy as np
import sympy as sp

from procrustes_lab.lab.claims import trace

A, B, At, Bt = sp.symbols("A B At Bt", commutative=False)
TRANSPOSED = {A: At, At: A, B: Bt, Bt: B}


def numeric(expression, a, b):
    """Trace of a sum of words, with numbers for the matrices."""
    matrices = {A: a, B: b, At: a.T, Bt: b.T}
    total = 0.0
    for term in sp.Add.make_args(sp.expand(expression)):
        numbers, powers = term.args_cnc()
        product = np.eye(len(a))
        for power in powers:
            base, exponent = power.as_base_exp()
            product = product @ np.linalg.matrix_power(matrices[base], int(exponent))
        total += float(sp.Mul(*numbers)) * np.trace(product)
    return total


def test_what_it_makes_equal_is_equal_and_what_is_not_is_not():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 4, 4))
    for expression in (A * B * At, 3 * A**2 * B - Bt * A * B, At * Bt * A * B + 2 * B * A * A):
        for words in (trace(expression), trace(expression, TRANSPOSED)):
            assert np.isclose(numeric(words, a, b), numeric(expression, a, b))
    assert trace(A * B - B * A) == 0
    assert trace(A * B - Bt * At) != 0
    assert trace(A * B - Bt * At, TRANSPOSED) == 0
    assert trace(A * A * B * B - A * B * A * B) != 0
