import itertools
import os

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from procrustes_lab.data import text_models
from procrustes_lab.data.datasets import ApiDescriptions, api_descriptions, split
from procrustes_lab.search.retrieval import gains, ranks

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


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PROCRUSTES_LAB_DATA", str(tmp_path))


@pytest.fixture(scope="module")
def descriptions():
    """Read where they are kept, before any test has a folder of its own."""
    return api_descriptions()


def embed(name, texts=TEXTS, fitted_on=TEXTS, dimension=3, **options):
    return text_models.embed(name, texts, fitted_on=fitted_on, dimension=dimension, **options)


def test_rows_are_unit_vectors_or_zero(name):
    rows = embed(name, [*TEXTS, "", "zyx qvw"])
    assert rows.shape == (8, 3)
    assert rows.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(rows[:6], axis=1), 1, rtol=0, atol=1e-15)
    assert (rows[6:] == 0).all()


def test_the_same_seed_gives_the_same_digits(name, tmp_path):
    first, again = (embed(name, seed=5, data_home=tmp_path / folder) for folder in "ab")
    assert (first == again).all()


def test_a_text_alone_is_embedded_as_in_company(name):
    alone = np.vstack([embed(name, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, embed(name), rtol=0, atol=1e-6)


def test_texts_that_come_twice_count_twice(name):
    # A feature of one text alone is dropped, unless that text comes again.
    once, twice = (embed(name, ["paint"], TEXTS + TEXTS[3:4] * more) for more in (0, 1))
    assert (once == 0).all()
    assert abs(twice).max() > 0


def test_word_model_sees_no_word_order_and_bigram_model_does():
    shuffled = ["on the small mat", "small the mat on"]
    for name, same in (("word", True), ("bigram", False)):
        a, b = embed(name, shuffled, dimension=4)
        assert (abs(a - b).max() < 1e-6) == same


def test_features_are_those_of_scikit_learn_and_ties_go_by_the_alphabet(name, monkeypatch):
    # Scikit-learn's own choice among equally frequent features depends on the processor.
    reference = CountVectorizer(**text_models.FEATURES[name], min_df=2)
    counts = reference.fit_transform(TEXTS)
    totals = dict(zip(reference.get_feature_names_out(), counts.sum(axis=0).A1, strict=True))
    expected = sorted(totals, key=lambda feature: (-totals[feature], feature))[:8]
    assert totals[expected[-1]] == sorted(totals.values())[-9]  # a tie to settle
    vocabulary = CountVectorizer(**text_models.FEATURES[name], vocabulary=sorted(expected))
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(vocabulary.fit_transform(TEXTS))
    U, s, _ = np.linalg.svd(weights.toarray())
    monkeypatch.setattr(text_models, "LIMIT", 8)
    found, rows = embed(name), normalize(U[:, :3] * s[:3])
    np.testing.assert_allclose(found @ found.T, rows @ rows.T, rtol=0, atol=1e-5)


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
    found = embed("word")
    np.testing.assert_allclose(found @ found.T, rows @ rows.T, rtol=0, atol=1e-5)


def test_what_was_embedded_is_kept(name, tmp_path, monkeypatch):
    options = {"fitted_on": TEXTS[:5], "seed": 2, "data_home": tmp_path}
    expected = embed(name, **options)

    def made_again(*args):
        raise RuntimeError("made again")

    monkeypatch.setattr(text_models, "_latent_semantics", made_again)
    assert (embed(name, **options) == expected).all()
    with pytest.raises(RuntimeError, match="made again"):
        embed(name, **(options | {"seed": 3}))


def test_texts_are_counted_once_for_all_that_is_known_of_them(name, monkeypatch):
    expected = [embed(name, fitted_on=TEXTS[:last], dimension=2) for last in (4, 5, 6)]
    monkeypatch.setenv("PROCRUSTES_LAB_DATA", f"{os.environ['PROCRUSTES_LAB_DATA']}/again")
    counted, count = [], text_models._counts

    def counting(*asked):
        counted.append(asked)
        return count(*asked)

    monkeypatch.setattr(text_models, "_counts", counting)
    found = [embed(name, fitted_on=TEXTS[:last], dimension=2) for last in (4, 5, 6)]
    assert counted == [(name, tuple(TEXTS))]
    np.testing.assert_array_equal(found, expected)


def test_descriptions_are_embedded_both_sides_at_once(name):
    data = ApiDescriptions(tuple("abcdef"), tuple(TEXTS[::-1]), tuple(TEXTS), ("lib",) * 6, {})
    queries, documents = text_models.counted(name, data, dimension=3, seed=4)
    np.testing.assert_array_equal(documents, embed(name, seed=4))
    np.testing.assert_array_equal(queries, documents[::-1])
    known = text_models.counted(name, data, fitted_on=TEXTS[:5], dimension=2)
    np.testing.assert_array_equal(known[1], embed(name, fitted_on=TEXTS[:5], dimension=2))


def test_unknown_names_and_impossible_dimensions_are_refused(name):
    with pytest.raises(ValueError, match=r"name is 'sentence'; expected one of word, character"):
        embed("sentence")
    for dimension in (0, 6, 384):
        with pytest.raises(ValueError, match=f"dimension is {dimension}; expected 1 to 5"):
            embed(name, dimension=dimension)
    with pytest.raises(ValueError, match="not one string"):
        embed(name, "one string")


@pytest.mark.long
def test_alignment_restores_retrieval_across_models(descriptions):
    """The laboratory's protocol, reduced: nothing is fitted on what is evaluated."""
    data = descriptions
    few = np.random.default_rng(0).permutation(len(data))[:1000]
    documents, queries = ([texts[i] for i in few] for texts in (data.documents, data.queries))
    fitted, evaluated = split(len(few), 300, seed=0)
    known = [documents[i] for i in fitted]
    asked = [queries[i] for i in evaluated]
    spaces = {
        name: np.split(embed(name, asked + documents, known, 192), [len(asked)])
        for name in text_models.FEATURES
    }

    def quality(Q, D):
        return gains(ranks(Q, D, evaluated)).mean()

    weighted = make_pipeline(CountVectorizer(min_df=2), TfidfTransformer(sublinear_tf=True))
    weighted.fit(known)
    exact = TruncatedSVD(192, algorithm="arpack", random_state=0).fit(weighted.transform(known))
    rows = (normalize(exact.transform(weighted.transform(side))) for side in (asked, documents))
    assert quality(*spaces["word"]) > quality(*rows) - 0.01
    for source, target in itertools.permutations(spaces, 2):
        (Q, X), (native, Y) = spaces[source], spaces[target]
        R, _ = orthogonal_procrustes(X[fitted], Y[fitted])
        raw, aligned = quality(Q, Y), quality(Q @ R, Y)
        assert raw < 0.2 * aligned
        assert aligned > 0.6 * quality(native, Y)
