"""Three text models that share nothing but their training texts, and vectors of four networks.

Each of the three is a latent semantic analysis of other features: words, pieces of words, pairs of
words. So each puts the same text somewhere else, as embedding models of different makers do. The
networks are pretrained, and their vectors of the API descriptions come with the package.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from procrustes_lab.core.sums import Matrix

from .cache import Folder, cached_arrays
from .datasets import ApiDescriptions
from .encode import FILES, NETWORKS, find_vectors

FEATURES: dict[str, dict[str, Any]] = {
    "word": {"analyzer": "word"},
    "character": {"analyzer": "char_wb", "ngram_range": (4, 4)},
    "bigram": {"analyzer": "word", "ngram_range": (1, 2)},
}
"""What each model counts: words; runs of four characters; words and pairs of adjacent words."""

LIMIT = 20_000  # features that a model keeps at the most

VECTORS = Path(__file__).parent / "networks"  # those that come with the package, a folder each


def embed(
    name: str,
    texts: Sequence[str],
    *,
    fitted_on: Sequence[str],
    dimension: int = 256,
    seed: int = 0,
    data_home: Folder | None = None,
) -> Matrix:
    """Embed texts by latent semantic analysis: tf–idf weights, then a truncated SVD.

    `name`, of `FEATURES`, says what is counted; `fitted_on` is all that the model will know: keep
    out what it is to be evaluated on. Returned is a unit row for each text, of that dimension, and
    a zero row for a text without a known feature, kept between calls by `cached_arrays`. Raises
    ValueError if the name is unknown, the texts are one string, or the dimension is not less than
    the number of known texts and of features. What is counted in all of these texts is kept too.

    A feature found in a single known text cannot relate it to another and is dropped; of the
    others the `LIMIT` most frequent stay, and of equally frequent ones the first in the alphabet.
    The SVD is randomised, of that seed, in single precision with two power iterations (Halko,
    Martinsson and Tropp, 2011, doi:10.1137/090771806), and finds no worse than an exact one. Latent
    semantic analysis is by Deerwester et al. (1990), Journal of the American Society for
    Information Science 41, 391–407.
    """
    if name not in FEATURES:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(FEATURES)}")
    if isinstance(texts, str) or isinstance(fitted_on, str):
        raise ValueError("texts and fitted_on are sequences of texts, not one string")
    every = tuple(dict.fromkeys([*texts, *fitted_on]))

    def make() -> list[Matrix]:
        row, count = {text: i for i, text in enumerate(every)}, partial(_counts, name, every)
        *parts, shape = cached_arrays(f"counts-{name}", _recipe(name, every), count, data_home)
        counts = csr_matrix(tuple(parts), tuple(shape.tolist()))
        known, asked = (counts[[row[text] for text in side]] for side in (fitted_on, texts))
        return [_latent_semantics(known, asked, dimension, seed)]

    recipe = *_recipe(name, texts, fitted_on), dimension, seed
    return cached_arrays(f"embeddings-{name}", recipe, make, data_home)[0]


def counted(
    name: str, data: ApiDescriptions, *, fitted_on: Sequence[str] | None = None, **options: Any
) -> tuple[Matrix, Matrix]:
    """Return queries and documents of API descriptions by `embed`, which takes the options.

    Both are unit rows, shape (n, dimension), row i of the same object. By default fitted on all.
    """
    known = data.documents if fitted_on is None else fitted_on
    rows = embed(name, data.texts, fitted_on=known, **options)
    n = len(data.documents)
    return rows[n:], rows[:n]


def _recipe(name: str, *parts: Sequence[str]) -> tuple[str, ...]:
    """Return what all that is counted in some texts follows from."""
    code = Path(__file__).read_text("utf-8"), version("scikit-learn"), np.__version__
    ended = (b"".join(t.encode("utf-8", "surrogatepass") + b"\xff" for t in p) for p in parts)
    return name, *code, *(hashlib.sha256(part).hexdigest() for part in ended)


def _latent_semantics(known: csr_matrix, asked: csr_matrix, dimension: int, seed: int) -> Matrix:
    from sklearn.decomposition import TruncatedSVD  # half a second, which a kept result spares
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    shared = np.flatnonzero(known.getnnz(axis=0) > 1)
    often = np.argsort(-np.ravel(known.sum(axis=0))[shared], kind="stable")
    features = np.sort(shared[often[:LIMIT]])
    limit = min(known.shape[0], len(features))
    if not 0 < dimension < limit:
        of = f"{known.shape[0]} texts with {len(features)} features in common"
        raise ValueError(f"dimension is {dimension}; expected 1 to {limit - 1}, for {of}")
    weighting = TfidfTransformer(sublinear_tf=True).fit(known[:, features])
    reduction = TruncatedSVD(dimension, n_iter=2, random_state=seed)
    with threadpool_limits(1):  # the same digits, whatever the number of cores
        reduction.fit(weighting.transform(known[:, features]))
    coordinates = reduction.transform(weighting.transform(asked[:, features]))
    return np.asarray(normalize(coordinates.astype(np.float64)))


def _counts(name: str, texts: Sequence[str]) -> list[NDArray[Any]]:
    """Count every feature of every text, features in alphabetical order: a matrix by rows."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(**FEATURES[name], dtype=np.float32)
    counts = csr_matrix(counter.fit_transform(texts)).sorted_indices()
    return [counts.data, counts.indices, counts.indptr, np.array(counts.shape)]


def network(
    name: str, descriptions: ApiDescriptions, folder: Folder | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return queries and documents, unit rows (k, d), by a network of `NETWORKS`, and of whom.

    The third are the k rows of `descriptions` that they belong to, the same for all four networks.
    Left out are objects whose summary or body is not one that was encoded: other versions of the
    libraries describe some differently. `folder` is where `procrustes_lab.data.encode` wrote two
    files, by default those of the package. Raises ValueError or OSError if the name is unknown, or
    a file is missing or damaged.

    MiniLM: Wang et al. (2020), arXiv:2002.10957, trained as in Reimers and Gurevych (2019),
    arXiv:1908.10084. MPNet: Song et al. (2020), arXiv:2004.09297. Universal sentence encoder: Yang
    et al. (2019), arXiv:1907.04307. E5: Wang et al. (2024), arXiv:2402.05672.
    """
    if folder is None and name not in NETWORKS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(NETWORKS)}")
    home, names = Path(folder or VECTORS / name), descriptions.names
    documents = find_vectors(home / FILES[0], names, descriptions.documents)
    queries = find_vectors(home / FILES[1], names, descriptions.queries)
    kept = np.intersect1d(documents.rows, queries.rows)
    asked, found = (side.vectors[np.isin(side.rows, kept)] for side in (queries, documents))
    return asked, found, kept
