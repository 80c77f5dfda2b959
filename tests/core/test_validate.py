"""Bad input: each case raises one sentence that names the argument, what was found and expected."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

import procrustes_lab as pl

GOOD = np.arange(12.0).reshape(6, 2)
SQUARE = np.arange(9.0).reshape(3, 3)


def with_value(value, shape=(6, 2), at=(4, 1)):
    array = np.ones(shape)
    array[at] = value
    return array


# name, X, Y, exception, words that the message must hold
CASES = [
    ("X is None", None, GOOD, TypeError, ["X (source)", "None", "(n, d)"]),
    ("Y is None", GOOD, None, TypeError, ["Y (target)", "missing", "(n, d_y)"]),
    ("X a scalar", 3.0, GOOD, ValueError, ["X (source)", "0 dimension", "expected 2"]),
    ("X one-dimensional", GOOD[:, 0], GOOD, ValueError, ["X (source)", "1 dimension", "(6,)"]),
    ("Y three-dimensional", GOOD, GOOD[None], ValueError, ["Y (target)", "3 dimension", "(1, 6"]),
    ("Y has fewer rows", GOOD, GOOD[:5], ValueError, ["Y (target) has 5", "X (source) has 6"]),
    ("Y has more rows", GOOD[:5], GOOD, ValueError, ["gain or lose", "same object"]),
    ("Y transposed", GOOD, GOOD.T, ValueError, ["2 rows", "6", "transposed"]),
    ("X transposed", GOOD.T, GOOD, ValueError, ["6 rows", "2", "transposed"]),
    ("X has no rows", GOOD[:0], GOOD[:0], ValueError, ["X (source)", "empty", "(0, 2)"]),
    ("X has no columns", GOOD[:, :0], GOOD, ValueError, ["X (source)", "empty", "(6, 0)"]),
    ("Y has no columns", GOOD, GOOD[:, :0], ValueError, ["Y (target)", "empty", "(6, 0)"]),
    ("empty list", [], GOOD, ValueError, ["X (source)", "1 dimension", "(0,)"]),
    ("NaN in X", with_value(np.nan), GOOD, ValueError, ["X (source)", "NaN", "row 4, column 1"]),
    ("NaN in Y", GOOD, with_value(np.nan), ValueError, ["Y (target)", "NaN", "row 4, column 1"]),
    ("Inf in X", with_value(np.inf), GOOD, ValueError, ["X (source)", "infinity", "row 4"]),
    ("-Inf in Y", GOOD, with_value(-np.inf), ValueError, ["Y (target)", "infinity", "row 4"]),
    ("Inf against zeros", with_value(np.inf), 0 * GOOD, ValueError, ["X (source)", "infinity"]),
    (
        "NaN far down",
        with_value(np.nan, (40_000, 8), (39_000, 7)).astype(np.float32),
        np.ones((40_000, 8), np.float32),
        ValueError,
        ["X (source)", "row 39000, column 7"],
    ),
    (
        "Inf far down",
        np.ones((40_000, 8)),
        with_value(np.inf, (40_000, 8), (12_345, 0)),
        ValueError,
        ["Y (target)", "row 12345, column 0"],
    ),
    ("objects", GOOD.astype(object), GOOD, TypeError, ["X (source)", "object", "real numbers"]),
    ("integers too large", [[10**400, 1]] * 6, GOOD, TypeError, ["X (source)", "object"]),
    ("None among numbers", [[1.0, None]] * 6, GOOD, TypeError, ["X (source)", "object"]),
    ("strings", [["1", "2"]] * 6, GOOD, TypeError, ["X (source)", "<U1", "real numbers"]),
    ("bytes", GOOD, [[b"1", b"2"]] * 6, TypeError, ["Y (target)", "real numbers"]),
    ("complex", GOOD + 1j, GOOD, TypeError, ["X (source)", "complex128", "real numbers"]),
    ("dates", GOOD, np.zeros((6, 2), "datetime64[s]"), TypeError, ["Y (target)", "datetime64"]),
    ("records", np.zeros((6, 2), [("a", "f8")]), GOOD, TypeError, ["X (source)", "real numbers"]),
    ("ragged", [[1.0, 2.0], [3.0]], SQUARE[:2], ValueError, ["X (source)", "different lengths"]),
    ("sparse", scipy.sparse.eye(6), GOOD, TypeError, ["X (source)", "sparse", ".toarray()"]),
    (
        "sparse array",
        GOOD,
        scipy.sparse.csr_array(GOOD),
        TypeError,
        ["Y (target)", "csr_array", ".toarray()"],
    ),
    ("masked", np.ma.masked_less(GOOD, 3), GOOD, TypeError, ["X (source)", "masked", "drop"]),
    ("generator", (row for row in GOOD), GOOD, TypeError, ["X (source)", "generator"]),
    ("set", {1.0, 2.0}, GOOD, TypeError, ["X (source)", "object"]),
    ("dict", {"a": [1.0]}, GOOD, TypeError, ["X (source)", "object"]),
]


@pytest.mark.parametrize("function", [pl.align, pl.certify, pl.Moments.from_arrays])
@pytest.mark.parametrize(("name", "X", "Y", "exception", "words"), CASES, ids=[c[0] for c in CASES])
def test_bad_pairs(function, name, X, Y, exception, words):
    if name == "Y is None" and function.__name__ == "from_arrays":
        words = ["Y (target)", "None", "(n, d)"]
    with pytest.raises(exception) as caught:
        function(X, Y)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_small_integers_do_not_overflow():
    X = np.full((300, 2), 127, dtype=np.int8)
    assert pl.Moments.from_arrays(X, X).xx == pytest.approx(np.full((2, 2), 300 * 127.0**2))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32, np.longdouble])
def test_every_real_type_gives_what_float64_gives(dtype):
    X = np.array([[1, 0], [1, 1], [0, 1]]).astype(dtype)
    expected = pl.certify(X.astype(np.float64), GOOD[:3])
    assert vars(pl.certify(X, GOOD[:3])) == vars(expected)
    assert pl.align(X, GOOD[:3]).map.dtype == np.float64


def test_lists_matrices_views_and_foreign_byte_order_are_arrays_too():
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((2, 30, 3))
    expected = pl.align(X, Y).map
    padded = np.zeros((60, 6))
    padded[::2, ::2] = X
    for same in (X.tolist(), np.asfortranarray(X), padded[::2, ::2], X.astype(">f8")):
        np.testing.assert_allclose(pl.align(same, Y).map, expected, atol=1e-14)


@pytest.mark.parametrize("value", [-0.1, 0.6, np.nan, 2, "auto", None, np.array([0.1]), 1j])
def test_whiten_out_of_range(value):
    with pytest.raises(ValueError, match=r"whiten is .*expected a number from 0"):
        pl.align(GOOD, GOOD, whiten=value)


@pytest.mark.parametrize(
    "value", [np.float32(0.25), np.float64(0.25), Fraction(1, 4), np.float16(0.25)]
)
def test_any_real_number_will_do(value):
    expected = pl.align(GOOD, GOOD[:, ::-1], whiten=0.25, toward=(np.eye(2), 0.25))
    found = pl.align(GOOD, GOOD[:, ::-1], whiten=value, toward=(np.eye(2), value))
    np.testing.assert_array_equal(found.map, expected.map)
    assert (type(found.whiten), type(found.toward)) == (float, float)


@pytest.mark.parametrize("option", ["center", "scale"])
@pytest.mark.parametrize("value", ["no", "False", None, 0, np.ones(2)])
def test_what_is_neither_true_nor_false(option, value):
    with pytest.raises(TypeError, match=f"{option} is .*; expected True or False"):
        pl.align(GOOD, GOOD, **{option: value})


# What other libraries hold vectors in


class Frame:
    """What of a pandas data frame, or a series of vectors, counts here."""

    class Index(list):
        def equals(self, other):
            return self == other

    def __init__(self, values, index):
        self.values, self.index = values, self.Index(index)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_frames_whose_labels_differ_are_not_paired_by_position():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 6, 2))
    labels = list("abcdef")
    expected = pl.align(X, Y)
    for left, right in ((Frame(X, labels), Frame(Y, labels)), (Frame(X, labels), Y)):
        np.testing.assert_array_equal(pl.align(left, right).map, expected.map)
    for others in (labels[::-1], list("abcdeg"), range(6)):
        for function in (pl.align, pl.certify, pl.Moments.from_arrays, pl.ProcrustesAligner().fit):
            with pytest.raises(ValueError, match=r"different indices.*Y\.loc\[X\.index\] joins"):
                function(Frame(X, labels), Frame(Y, others))


class Tensor:
    """What of a torch tensor counts here: NumPy can read it only once it is detached."""

    def __init__(self, values, dtype="torch.float32", state=""):
        self.values, self.dtype, self.state = values, dtype, state

    def detach(self):
        return Tensor(self.values, self.dtype, self.state + "detached ")

    def cpu(self):
        return Tensor(self.values, self.dtype, self.state + "here ")

    def float(self):
        return Tensor(self.values, "torch.float32", self.state)

    def __array__(self, dtype=None, copy=None):
        if self.state != "detached here " or self.dtype == "torch.bfloat16":
            raise RuntimeError(f"{self.dtype} {self.state}")
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_tensors_are_taken_from_wherever_they_are(dtype):
    expected = pl.align(GOOD, GOOD[:, ::-1])
    found = pl.align(Tensor(GOOD, dtype), Tensor(GOOD[:, ::-1], dtype))
    np.testing.assert_array_equal(found.map, expected.map)


def columns_of_vectors(rows):
    column = np.empty(len(rows), object)
    column[:] = list(rows)
    narrow = pa.array(rows.astype(np.float32).tolist(), pa.list_(pa.float32(), rows.shape[1]))
    return {
        "object column": column,
        "object column of lists": np.array([None, *rows.tolist()], object)[1:],
        "data frame of one column": column[:, None],
        "Arrow lists": pa.array(rows.tolist()),
        "Arrow lists of a fixed size": narrow,
        "chunked Arrow": pa.chunked_array([narrow[:2], narrow[2:]]),
    }


@pytest.mark.parametrize("kind", columns_of_vectors(GOOD))
def test_columns_of_vectors_are_matrices(kind):
    column = columns_of_vectors(GOOD)[kind]
    expected = pl.align(GOOD, GOOD[:, ::-1])
    np.testing.assert_allclose(pl.align(column, GOOD[:, ::-1]).map, expected.map, atol=1e-15)
    np.testing.assert_array_equal(expected.apply(column), expected.apply(GOOD))


def test_columns_with_holes_are_refused():
    holes = pa.array([[1.0, 2.0], None, [3.0, 4.0], None])
    with pytest.raises(TypeError, match=r"X \(source\) has None .* in row 1, and 2 such rows"):
        pl.align(holes, GOOD[:4])
    with pytest.raises(ValueError, match=r"X \(source\) has rows of different lengths"):
        pl.align(pa.array([[1.0, 2.0], [3.0]]), GOOD[:2])


def test_moments_and_arrays_do_not_mix():
    moments = pl.Moments.from_arrays(GOOD, GOOD)
    for function in (pl.align, pl.certify):
        with pytest.raises(TypeError, match="expected no Y"):
            function(moments, GOOD)


def test_inputs_are_left_alone():
    X, Y = GOOD.copy(), GOOD[:, ::-1].copy()
    for array in (X, Y):
        array.setflags(write=False)
    pl.certify(X, Y)
    pl.align(X, Y, center=True, scale=True, whiten=0.3).apply(X)
    np.testing.assert_array_equal(X, GOOD)
