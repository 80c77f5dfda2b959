"""Three text models that share nothing but their training texts, and the vectors of a fourth.

Each of the three is a latent semantic analysis of other features: words, pieces of words, pairs of
words. So each puts the same text somewhere else, as embedding models of different makers do. The
fourth is a pretrained neural network, whose vectors of the API descriptions come with the package.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from procrustes_lab.datasets import ApiDescriptions, Folder, cached
from procrustes_lab.encode import FILES, find_vectors

FEATURES: dict[str, dict[str, Any]] = {
    "word": {"analyzer": "word"},
    "character": {"analyzer": "char_wb", "ngram_range": (4, 4)},
    "bigram": {"analyzer": "word", "ngram_range": (1, 2)},
}
"""What each model counts: words; runs of four characters; words and pairs of adjacent words."""


MINILM = Path(__file__).parent / "data" / "minilm"
"""The folder of the MiniLM vectors that come with the package."""


@dataclass(frozen=True)
class TextModel:
    """A fitted map from texts to unit vectors of `dimension` coordinates."""

    name: str
    dimension: int
    vectorizer: TfidfVectorizer
    reduction: TruncatedSVD

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return one unit row per text, and a zero row for a text without a known feature.

        Returns
        -------
        ndarray of float64, shape (len(texts), dimension)

        Raises
        ------
        ValueError
            If `texts` is one string.
        """
        coordinates = self.reduction.transform(self.vectorizer.transform(texts))
        unit_rows: NDArray[np.float64] = normalize(coordinates.astype(np.float64))
        return unit_rows


def fit(name: str, texts: Sequence[str], *, dimension: int = 384, seed: int = 0) -> TextModel:
    """Fit latent semantic analysis to `texts`: tf–idf weights, then a truncated SVD.

    Parameters
    ----------
    name : {"word", "character", "bigram"}
        Which of `FEATURES` to count.
    texts : sequence of str
        All that the model will know: keep out what it is to be evaluated on.
    dimension : int
        Number of coordinates, fewer than there are texts or features.
    seed : int
        Of the randomised SVD.

    Raises
    ------
    ValueError
        If the name is unknown, or the texts are too few for the dimension.

    Notes
    -----
    A feature found in a single text cannot relate it to another and is dropped; of the others
    the 20,000 most frequent stay. Single precision and three power iterations give the retrieval
    quality of double precision to four digits, in half the time.

    References
    ----------
    S. Deerwester, S. Dumais, G. Furnas, T. Landauer and R. Harshman, "Indexing by latent semantic
    analysis", Journal of the American Society for Information Science 41 (1990), 391–407.
    N. Halko, P.-G. Martinsson and J. Tropp, "Finding structure with randomness", SIAM Review 53
    (2011), 217–288, doi:10.1137/090771806.
    """
    if name not in FEATURES:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(FEATURES)}")
    vectorizer = TfidfVectorizer(
        **FEATURES[name], min_df=2, max_features=20_000, sublinear_tf=True, dtype=np.float32
    )
    weights = vectorizer.fit_transform(texts)
    if not 0 < dimension < min(weights.shape):
        raise ValueError(
            f"dimension is {dimension}; expected 1 to {min(weights.shape) - 1}, as there are "
            f"{weights.shape[0]} texts with {weights.shape[1]} features in common"
        )
    with threadpool_limits(1):  # the same digits, whatever the number of cores
        reduction = TruncatedSVD(dimension, n_iter=3, random_state=seed).fit(weights)
    return TextModel(name, dimension, vectorizer, reduction)


def embed(
    name: str,
    texts: Sequence[str],
    *,
    fitted_on: Sequence[str],
    dimension: int = 384,
    seed: int = 0,
    data_home: Folder | None = None,
) -> NDArray[np.float64]:
    """Return ``fit(name, fitted_on, ...).encode(texts)``, kept on disk between calls.

    Parameters and exceptions are those of `fit` and `TextModel.encode`; for `data_home` see
    `procrustes_lab.datasets.cached`.
    """

    def make() -> bytes:
        file = io.BytesIO()
        model = fit(name, fitted_on, dimension=dimension, seed=seed)
        np.save(file, model.encode(texts))
        return file.getvalue()

    code = Path(__file__).read_bytes(), sklearn.__version__, np.__version__
    recipe = code, name, list(texts), list(fitted_on), dimension, seed
    embeddings: NDArray[np.float64] = np.load(
        io.BytesIO(cached(f"embeddings-{name}", recipe, make, data_home))
    )
    return embeddings


def minilm(
    descriptions: ApiDescriptions, folder: Folder = MINILM
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the vectors of API descriptions by all-MiniLM-L6-v2, for those that have any.

    Parameters
    ----------
    descriptions : ApiDescriptions
    folder : path
        Where ``python -m procrustes_lab.encode`` wrote ``queries.npz`` and ``documents.npz``; by
        default those in the package.

    Returns
    -------
    queries, documents : ndarray of float64, shape (k, 384)
        Unit rows.
    kept : ndarray of int64, shape (k,)
        The rows of `descriptions` that they belong to. Left out are objects that the files do
        not name, and objects whose summary or body is not the one that was encoded: other
        versions of the libraries describe some objects differently.

    Raises
    ------
    OSError, ValueError
        If a file is missing or damaged.

    References
    ----------
    W. Wang, F. Wei, L. Dong, H. Bao, N. Yang and M. Zhou (2020), "MiniLM: deep self-attention
    distillation for task-agnostic compression of pre-trained transformers", arXiv:2002.10957.
    N. Reimers and I. Gurevych (2019), "Sentence-BERT", arXiv:1908.10084.
    """
    documents, queries = (
        find_vectors(Path(folder, file), descriptions.names, texts)
        for file, texts in zip(FILES, (descriptions.documents, descriptions.queries), strict=True)
    )
    kept = np.intersect1d(documents.rows, queries.rows)
    return (
        queries.vectors[np.isin(queries.rows, kept)],
        documents.vectors[np.isin(documents.rows, kept)],
        kept,
    )
