import itertools

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from procrustes_lab import text_models
from procrustes_lab.datasets import api_descriptions, split
from procrustes_lab.retrieval import ndcg_at, ranks

TEXTS = [
    "the small red cat sat on the mat",
    "the large red dog sat on the rug",
    "a small cat and a large dog ran",
    "red paint on the small mat and the rug",
    "the dog ran and the cat ran",
    "a large mat and a small rug",
]


@pytest.fixture(params=text_models.FEATURES)
def name(request):
    return request.param


def test_rows_are_unit_vectors_or_zero(name):
    model = text_models.fit(name, TEXTS, dimension=3)
    rows = model.encode([*TEXTS, "", "zyx qvw"])
    assert (model.name, model.dimension) == (name, 3)
    assert rows.shape == (8, 3)
    assert rows.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(rows[:6], axis=1), 1, rtol=0, atol=1e-15)
    assert (rows[6:] == 0).all()


def test_the_same_seed_gives_the_same_digits(name):
    first, again = (text_models.fit(name, TEXTS, dimension=3, seed=5).encode(TEXTS) for _ in "12")
    assert (first == again).all()


def test_a_text_alone_is_encoded_as_in_company(name):
    model = text_models.fit(name, TEXTS, dimension=3)
    together = model.encode(TEXTS)
    alone = np.vstack([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6)


def test_word_model_sees_no_word_order_and_bigram_model_does():
    shuffled = ["on the small mat", "small the mat on"]
    for name, same in (("word", True), ("bigram", False)):
        a, b = text_models.fit(name, TEXTS, dimension=4).encode(shuffled)
        assert (abs(a - b).max() < 1e-6) == same


def test_similarities_are_those_of_an_exact_decomposition():
    # Independent arithmetic: tf–idf by its definition, one exact SVD.
    words = sorted({w for text in TEXTS for w in text.split() if len(w) > 1})
    counts = np.array([[text.split().count(w) for w in words] for text in TEXTS], dtype=float)
    frequency = (counts > 0).sum(axis=0)
    counts, frequency = counts[:, frequency > 1], frequency[frequency > 1]
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
    weights *= 1 + np.log((1 + len(TEXTS)) / (1 + frequency))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    U, s, _ = np.linalg.svd(weights)
    rows = U[:, :3] * s[:3]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = text_models.fit("word", TEXTS, dimension=3).encode(TEXTS)
    np.testing.assert_allclose(found @ found.T, rows @ rows.T, rtol=0, atol=1e-5)


def test_embed_keeps_what_fit_and_encode_give(name, tmp_path, monkeypatch):
    expected = text_models.fit(name, TEXTS[:5], dimension=3, seed=2).encode(TEXTS)
    options = {"fitted_on": TEXTS[:5], "dimension": 3, "seed": 2, "data_home": tmp_path}
    assert (text_models.embed(name, TEXTS, **options) == expected).all()

    def fit_again(*args, **kwargs):
        raise RuntimeError("fitted again")

    monkeypatch.setattr(text_models, "fit", fit_again)
    assert (text_models.embed(name, TEXTS, **options) == expected).all()
    with pytest.raises(RuntimeError, match="fitted again"):
        text_models.embed(name, TEXTS, **(options | {"seed": 3}))


def test_unknown_names_and_impossible_dimensions_are_refused(name):
    with pytest.raises(ValueError, match=r"name is 'sentence'; expected one of word, character"):
        text_models.fit("sentence", TEXTS)
    for dimension in (0, 6, 384):
        with pytest.raises(ValueError, match=f"dimension is {dimension}; expected 1 to 5"):
            text_models.fit(name, TEXTS, dimension=dimension)
    with pytest.raises(ValueError):
        text_models.fit(name, TEXTS, dimension=3).encode("one string")


def test_alignment_restores_retrieval_across_models():
    """The laboratory's protocol, reduced: nothing is fitted on what is evaluated."""
    data = api_descriptions()
    few = np.random.default_rng(0).permutation(len(data))[:1500]
    documents, queries = ([texts[i] for i in few] for texts in (data.documents, data.queries))
    fitted, evaluated = split(len(few), 300, seed=0)
    known = [documents[i] for i in fitted]
    asked = [queries[i] for i in evaluated]
    models = [text_models.fit(name, known, dimension=192) for name in text_models.FEATURES]
    spaces = {model.name: (model.encode(asked), model.encode(documents)) for model in models}

    def quality(Q, D):
        return ndcg_at(ranks(Q, D, evaluated), 10)

    for source, target in itertools.permutations(spaces, 2):
        (Q, X), (native, Y) = spaces[source], spaces[target]
        R, _ = orthogonal_procrustes(X[fitted], Y[fitted])
        raw, aligned = quality(Q, Y), quality(Q @ R, Y)
        assert raw < 0.2 * aligned
        assert aligned > 0.6 * quality(native, Y)
