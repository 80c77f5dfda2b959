"""Three text models that share nothing but their training texts, and vectors of four networks.

Each of the three is a latent semantic analysis of other features: words, pieces of words, pairs of
words. So each puts the same text somewhere else, as embedding models of different makers do. The
networks are pretrained, and their vectors of the API descriptions come with the package.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from .cache import Folder, cached_arrays
from .datasets import ApiDescriptions
from .encode import FILES, find_vectors
from .pretrained import NETWORKS

FEATURES: dict[str, dict[str, Any]] = {
    "word": {"analyzer": "word"},
    "character": {"analyzer": "char_wb", "ngram_range": (4, 4)},
    "bigram": {"analyzer": "word", "ngram_range": (1, 2)},
}
"""What each model counts: words; runs of four characters; words and pairs of adjacent words."""

LIMIT = 20_000
"""The most features that a model keeps."""

VECTORS = Path(__file__).parent / "networks"
"""The folder of the vectors that come with the package: in it, one folder a network."""


def embed(
    name: str,
    texts: Sequence[str],
    *,
    fitted_on: Sequence[str],
    dimension: int = 384,
    seed: int = 0,
    data_home: Folder | None = None,
) -> NDArray[np.float64]:
    """Embed texts by latent semantic analysis: tf–idf weights, then a truncated SVD.

    Raises ValueError if the name is unknown, or the texts are too few for the dimension, or one
    string.

    Parameters
    ----------
    name : {"word", "character", "bigram"}
        Which of `FEATURES` to count.
    texts, fitted_on : sequence of str
        What to embed; and all that the model will know: keep out what it is to be evaluated on.
    dimension : int
        Number of coordinates, fewer than there are known texts or features.
    seed : int
        Of the randomised SVD.
    data_home : path, optional
        Where the result is kept for the next call; see `procrustes_lab.data.cache`.

    Returns
    -------
    ndarray of float64, shape (len(texts), dimension)
        One unit row per text, and a zero row for a text without a known feature.

    Notes
    -----
    A feature found in a single known text cannot relate it to another and is dropped; of the
    others the `LIMIT` most frequent stay, and of equally frequent ones the first in the alphabet.
    Single precision and three power iterations give the retrieval quality of double precision to
    four digits, in half the time.

    References
    ----------
    S. Deerwester, S. Dumais, G. Furnas, T. Landauer and R. Harshman, "Indexing by latent semantic
    analysis", Journal of the American Society for Information Science 41 (1990), 391–407.
    N. Halko, P.-G. Martinsson and J. Tropp, "Finding structure with randomness", SIAM Review 53
    (2011), 217–288, doi:10.1137/090771806.
    """
    if name not in FEATURES:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(FEATURES)}")
    if isinstance(texts, str) or isinstance(fitted_on, str):
        raise ValueError("texts and fitted_on are sequences of texts, not one string")
    code = Path(__file__).read_bytes(), version("scikit-learn"), np.__version__
    recipe = name, list(texts), list(fitted_on), dimension, seed
    make = partial(_latent_semantics, *recipe)
    return cached_arrays(f"embeddings-{name}", (code, *recipe), make, data_home)[0]


def _latent_semantics(
    name: str, texts: Sequence[str], fitted_on: Sequence[str], dimension: int, seed: int
) -> list[NDArray[np.float64]]:
    from sklearn.decomposition import TruncatedSVD  # half a second, which a kept result spares
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    row = {text: i for i, text in enumerate(dict.fromkeys([*texts, *fitted_on]))}
    counts = _counts(name, tuple(row))
    known = counts[[row[text] for text in fitted_on]]
    shared = np.flatnonzero(known.getnnz(axis=0) > 1)
    often = np.argsort(-np.ravel(known.sum(axis=0))[shared], kind="stable")
    features = np.sort(shared[often[:LIMIT]])
    limit = min(len(fitted_on), len(features))
    if not 0 < dimension < limit:
        raise ValueError(
            f"dimension is {dimension}; expected 1 to {limit - 1}, as there are "
            f"{len(fitted_on)} texts with {len(features)} features in common"
        )
    weighting = TfidfTransformer(sublinear_tf=True).fit(known[:, features])
    reduction = TruncatedSVD(dimension, n_iter=3, random_state=seed)
    with threadpool_limits(1):  # the same digits, whatever the number of cores
        reduction.fit(weighting.transform(known[:, features]))
    asked = counts[[row[text] for text in texts]][:, features]
    coordinates = reduction.transform(weighting.transform(asked))
    return [normalize(coordinates.astype(np.float64))]


@lru_cache(maxsize=len(FEATURES))  # models of the same texts, fitted on other parts of them
def _counts(name: str, texts: tuple[str, ...]) -> csr_matrix:
    """Count every feature of every text, features in alphabetical order."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(**FEATURES[name], dtype=np.float32)
    return csr_matrix(counter.fit_transform(texts)).sorted_indices()


def network(
    name: str, descriptions: ApiDescriptions, folder: Folder | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the vectors of API descriptions by a pretrained network, for those that have any.

    Raises ValueError or OSError if the name is unknown, or a file is missing or damaged.

    Parameters
    ----------
    name : {"minilm", "mpnet", "use", "e5"}
        One of `procrustes_lab.data.pretrained.NETWORKS`. All four have the same objects.
    descriptions : ApiDescriptions
    folder : path, optional
        Where `procrustes_lab.data.encode` wrote two files; by default, those of the package.

    Returns
    -------
    queries, documents : ndarray of float64, shape (k, d)
        Unit rows.
    kept : ndarray of int64, shape (k,)
        The rows of `descriptions` that they belong to. Left out are objects whose summary or body
        is not one that was encoded: other versions of the libraries describe some differently.

    References
    ----------
    W. Wang, F. Wei, L. Dong, H. Bao, N. Yang and M. Zhou (2020), "MiniLM: deep self-attention
    distillation for task-agnostic compression of pre-trained transformers", arXiv:2002.10957.
    N. Reimers and I. Gurevych (2019), "Sentence-BERT", arXiv:1908.10084.
    K. Song, X. Tan, T. Qin, J. Lu and T.-Y. Liu (2020), "MPNet", arXiv:2004.09297.
    Y. Yang et al. (2019), "Multilingual universal sentence encoder for semantic retrieval",
    arXiv:1907.04307. L. Wang et al. (2024), "Multilingual E5 text embeddings", arXiv:2402.05672.
    """
    if folder is None and name not in NETWORKS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(NETWORKS)}")
    documents, queries = (
        find_vectors(Path(folder or VECTORS / name, file), descriptions.names, texts)
        for file, texts in zip(FILES, (descriptions.documents, descriptions.queries), strict=True)
    )
    kept = np.intersect1d(documents.rows, queries.rows)
    return (
        queries.vectors[np.isin(queries.rows, kept)],
        documents.vectors[np.isin(documents.rows, kept)],
        kept,
    )


minilm = partial(network, "minilm")
"""`network` of all-MiniLM-L6-v2, where a single one is enough."""
