"""Pictures of characters with their Unicode names, and two towers that learn which belong together.

The characters are those of the font that Matplotlib ships, drawn at run time; the names are
Python's. The towers are networks of one hidden layer, trained by contrast: a small CLIP.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import autograd
import autograd.numpy as anp
import matplotlib
import numpy as np
from autograd.misc.optimizers import adam
from autograd.scipy.special import logsumexp
from matplotlib.ft2font import FT2Font
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import require

from .cache import Folder, cached_arrays

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")

SIZE = 24  # height and width of a picture in pixels
TEXT_FEATURES = 512  # columns that words and runs of letters are hashed into
HIDDEN = 256
BATCH = 256
LEARNING_RATE = 4e-3


@dataclass(frozen=True)
class Glyphs:
    """Characters as pictures and as names; row i of every field is character i.

    Names are Unicode's, of two words or more; images, shape (n, 24, 24), go from 0, paper, to 255,
    ink. No name and no picture occurs twice: of characters that are drawn alike, such as the Latin
    and the Greek capital A, the one with the lowest code is kept.
    """

    characters: str
    names: tuple[str, ...]
    images: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.names)


def glyphs(font: Folder = FONT) -> Glyphs:
    """Draw every character of a font that has a name of two words or more and leaves ink.

    Of Matplotlib's DejaVu Sans these are about 5,200, in the order of their codes. Raises OSError
    if there is no such file, TrueType or OpenType.
    """
    # Basic layout: with the other engine the pictures would depend on a library of the system.
    pen = ImageFont.truetype(str(font), 17, layout_engine=ImageFont.Layout.BASIC)
    drawn: dict[bytes, str] = {}
    for code in sorted(FT2Font(str(font)).get_charmap()):
        if len(unicodedata.name(chr(code), "").split()) < 2:
            continue
        picture = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(picture).text((SIZE / 2, 18), chr(code), fill=255, font=pen, anchor="ms")
        if picture.getbbox():
            drawn.setdefault(picture.tobytes(), chr(code))
    images = np.frombuffer(b"".join(drawn), np.uint8).reshape(-1, SIZE, SIZE)
    return Glyphs("".join(drawn.values()), tuple(map(unicodedata.name, drawn.values())), images)


def modality_gap(images: Matrix, texts: Matrix) -> float:
    """Return how far the mean of (n, d) image vectors is from that of (m, d) text vectors.

    It is the modality gap of Liang et al. (2022), arXiv:2203.02053.
    """
    return float(np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)))


@dataclass(frozen=True)
class Towers:
    """Two trained networks, one for pictures and one for names, into one space of unit vectors.

    Each is the weights and offsets of its hidden layer, then of its last. `mean_image`, of the
    pictures trained on, is subtracted from every picture; `rarity`, the inverse document frequency,
    weighs each text feature.
    """

    image: Sequence[Matrix]
    text: Sequence[Matrix]
    mean_image: Matrix
    rarity: Matrix

    def encode_images(self, images: NDArray[np.uint8]) -> Matrix:
        """Return one unit row per picture."""
        return _tower(self.image, images.reshape(len(images), -1) / 255 - self.mean_image)

    def encode_names(self, names: Sequence[str]) -> Matrix:
        """Return one unit row per name."""
        return _tower(self.text, normalize(_counts(names) * self.rarity))


def info_nce(images: Matrix, texts: Matrix, temperature: float) -> Matrix:
    """Loss of a batch of pairs: how far each is from picking its partner out of the batch.

    It is the cross-entropy of the softmax of ⟨image, text⟩ / temperature, half of it over the
    texts and half over the images, both of shape (n, d) and unit length: a scalar between 0 and
    about log n, which `autograd` differentiates (van den Oord, Li and Vinyals, 2018,
    arXiv:1807.03748; Radford et al., 2021, arXiv:2103.00020).
    """
    scores = anp.dot(images, texts.T) / temperature
    of_text, of_image = (anp.mean(logsumexp(scores, axis=axis)) for axis in (0, 1))
    loss: Matrix = (of_text + of_image) / 2 - anp.mean(anp.diag(scores))
    return loss


def train(
    glyphs: Glyphs,
    rows: NDArray[np.int64],
    *,
    temperature: float,
    steps: int,
    seed: int,
    dimension: int = 64,
    data_home: Folder | None = None,
) -> Towers:
    """Train both towers on some of the glyphs, by `info_nce` and Adam; kept on disk between calls.

    Keep out of `rows` what the towers are to be evaluated on; fewer rows than a batch takes are a
    ValueError. The temperature of the loss is not learned; there are so many steps, each with a
    batch of 256 pairs; first weights and batches are drawn by the seed. Adam is by Kingma and Ba
    (2015), arXiv:1412.6980.
    """
    message = f"rows has {len(rows)} entries; expected at least {BATCH}, one batch"
    require(len(rows) >= BATCH, message)
    images, names = glyphs.images[rows], [glyphs.names[row] for row in rows]
    settings = temperature, steps, seed, dimension
    code = Path(__file__).read_bytes(), np.__version__, version("autograd")
    *weights, mean_image, rarity = cached_arrays(
        "glyph-towers",
        (code, images.tobytes(), names, *settings),
        lambda: _train(images.reshape(len(images), -1) / 255, _counts(names), *settings),
        data_home,
    )
    return Towers(weights[:4], weights[4:], mean_image, rarity)


def _train(
    pixels: Matrix, counts: Matrix, temperature: float, steps: int, seed: int, dimension: int
) -> list[Matrix]:
    """Return the weights of both towers, the mean image and the rarities."""
    rng = np.random.default_rng(seed)
    mean_image = pixels.mean(axis=0)
    rarity = np.log(len(counts) / (1 + np.count_nonzero(counts, axis=0))) + 1
    images, texts = pixels - mean_image, normalize(counts * rarity)
    weights = []  # that keep the size of what passes through them (He et al., 2015)
    for inputs in (images.shape[1], texts.shape[1]):
        for rows, columns, gain in ((inputs, HIDDEN, 2), (HIDDEN, dimension, 1)):
            drawn = rng.normal(scale=np.sqrt(gain / rows), size=(rows, columns))
            weights += [drawn, np.zeros(columns)]

    def loss(weights: Sequence[Matrix], step: int) -> Matrix:
        rows = rng.choice(len(images), BATCH, replace=False)
        sides = _tower(weights[:4], images[rows]), _tower(weights[4:], texts[rows])
        return info_nce(*sides, temperature)

    with threadpool_limits(1):  # the same digits, whatever the number of cores
        trained = adam(autograd.grad(loss), weights, num_iters=steps, step_size=LEARNING_RATE)
    return [*trained, mean_image, rarity]


def _tower(layers: Sequence[Matrix], inputs: Matrix) -> Matrix:
    """Apply one hidden layer of rectified units, then divide by the length."""
    hidden, hidden_offset, last, last_offset = layers
    active = anp.maximum(anp.dot(inputs, hidden) + hidden_offset, 0.0)
    out = anp.dot(active, last) + last_offset
    unit: Matrix = out / anp.sqrt(anp.sum(out**2, axis=1, keepdims=True) + 1e-12)
    return unit


def _counts(names: Sequence[str]) -> Matrix:
    """Count words and runs of three letters, each in the column it hashes to, on a log scale."""
    hashing = HashingVectorizer(
        analyzer=_pieces, n_features=TEXT_FEATURES, alternate_sign=False, norm=None
    )
    return np.asarray(np.log1p(hashing.transform(names).toarray()))


def _pieces(name: str) -> Iterator[str]:
    for word in name.replace("-", " ").split():
        yield word
        marked = f"<{word}>"
        yield from (marked[start : start + 3] for start in range(len(marked) - 2))
