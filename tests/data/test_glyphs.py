import math
import unicodedata

import autograd
import numpy as np
import pytest

from procrustes_lab.data import glyphs
from procrustes_lab.data.glyphs import info_nce, modality_gap, train


@pytest.fixture(scope="module")
def data():
    return glyphs.glyphs()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def unit_rows(rng, n, d):
    rows = rng.normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_every_glyph_has_its_unicode_name_and_a_picture_of_its_own(data):
    assert 4000 < len(data) == len(data.characters) == len(data.images)
    assert [unicodedata.name(character) for character in data.characters] == list(data.names)
    assert min(len(name.split()) for name in data.names) == 2
    assert data.images.dtype == np.uint8
    assert data.images.any(axis=(1, 2)).all()
    assert len({image.tobytes() for image in data.images}) == len(data)


def test_of_characters_drawn_alike_the_first_is_kept(data):
    assert "LATIN CAPITAL LETTER A" in data.names
    assert "GREEK CAPITAL LETTER ALPHA" not in data.names
    assert "GREEK CAPITAL LETTER OMEGA" in data.names


def test_pictures_show_what_the_names_say(data):
    def ink(name):
        return data.images[data.names.index(name)].astype(float)

    rows = np.arange(glyphs.SIZE)
    heights = {
        half: ink(f"{half} HALF BLOCK").sum(axis=1) @ rows / ink(f"{half} HALF BLOCK").sum()
        for half in ("UPPER", "LOWER")
    }
    assert heights["UPPER"] < heights["LOWER"]  # row 0 is the top
    across, upright = ink("BOX DRAWINGS LIGHT HORIZONTAL"), ink("BOX DRAWINGS LIGHT VERTICAL")
    assert np.count_nonzero(across.any(axis=1)) < np.count_nonzero(across.any(axis=0))
    assert np.count_nonzero(upright.any(axis=0)) < np.count_nonzero(upright.any(axis=1))


def test_another_font_can_be_read_and_a_missing_one_cannot(data):
    bold = glyphs.glyphs(glyphs.FONT.with_name("DejaVuSans-Bold.ttf"))
    letter = "LATIN SMALL LETTER G"
    drawn = [set_.images[set_.names.index(letter)].sum(dtype=int) for set_ in (data, bold)]
    assert drawn[0] < drawn[1]
    with pytest.raises(OSError, match="cannot open resource"):
        glyphs.glyphs(glyphs.FONT.with_name("absent.ttf"))


def test_gap_is_the_distance_of_the_means():
    images = np.array([[1.0, 0.0], [0.0, 1.0]])
    texts = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert modality_gap(images, texts) == pytest.approx(math.hypot(1 / 2, 1 / 6), abs=1e-15)
    assert modality_gap(images, images[::-1]) == 0


@pytest.mark.parametrize("temperature", [0.01, 0.3, 5.0])
def test_loss_of_two_orthogonal_pairs(temperature):
    # Each picks its partner with odds e^(1/τ) : 1.
    expected = math.log1p(math.exp(-1 / temperature))
    assert info_nce(np.eye(2), np.eye(2), temperature) == pytest.approx(expected, rel=1e-12)


def test_loss_is_log_n_where_nothing_is_told_apart():
    same = np.tile([0.6, 0.8], (7, 1))
    assert info_nce(same, same, 0.02) == pytest.approx(math.log(7), rel=1e-12)


def test_loss_sees_no_rotation_of_both_sides_and_no_order():
    rng = np.random.default_rng(0)
    images, texts = unit_rows(rng, 9, 4), unit_rows(rng, 9, 4)
    Q, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    order = rng.permutation(9)
    expected = info_nce(images, texts, 0.1)
    assert info_nce(images @ Q, texts @ Q, 0.1) == pytest.approx(expected, rel=1e-12)
    assert info_nce(images[order], texts[order], 0.1) == pytest.approx(expected, rel=1e-12)
    assert info_nce(texts, images, 0.1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("half_gap", [0.1, 0.5, 0.9])
def test_a_gap_is_a_rise_in_temperature(half_gap):
    rng = np.random.default_rng(1)
    images, texts = unit_rows(rng, 20, 6), unit_rows(rng, 20, 6)
    offset = np.full((20, 1), half_gap)
    shorter = math.sqrt(1 - half_gap**2)
    apart = np.hstack([shorter * images, offset]), np.hstack([shorter * texts, -offset])
    expected = info_nce(images, texts, 0.05 / (1 - half_gap**2))
    assert info_nce(*apart, 0.05) == pytest.approx(expected, rel=1e-10)


def test_gradient_agrees_with_differences():
    rng = np.random.default_rng(2)
    images, texts, direction = (unit_rows(rng, 5, 3) for _ in range(3))
    slope = np.vdot(autograd.grad(info_nce)(images, texts, 0.2), direction)
    h = 1e-5
    ahead, behind = (info_nce(images + s * h * direction, texts, 0.2) for s in (1, -1))
    assert slope == pytest.approx((ahead - behind) / (2 * h), rel=1e-7)


def trained(data, home, **changes):
    arguments = {"temperature": 0.05, "steps": 40, "seed": 0, "dimension": 16, "data_home": home}
    return train(data, np.arange(0, 1200, 4), **(arguments | changes))


def test_training_teaches_which_belong_together(data, home):
    rows = np.arange(0, 1200, 4)
    names = [data.names[row] for row in rows]
    losses = []
    for steps in (0, 40):
        towers = trained(data, home, steps=steps)
        vectors = towers.encode_images(data.images[rows]), towers.encode_names(names)
        losses.append(info_nce(*vectors, 0.05))
        for side in vectors:
            assert side.shape == (300, 16)
            np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1, rtol=0, atol=1e-9)
    # Training pairs only: from near chance, log 300 = 5.7, to half of it and less.
    assert losses[0] > 5 > math.log(300) / 2 > losses[1]


@pytest.mark.long
def test_the_same_seed_gives_the_same_digits(data, home, tmp_path):
    first = trained(data, home)
    again = trained(data, tmp_path)
    other = trained(data, home, seed=1)
    assert (first.encode_names(data.names[:9]) == again.encode_names(data.names[:9])).all()
    assert (first.encode_names(data.names[:9]) != other.encode_names(data.names[:9])).any()


def test_what_is_held_out_teaches_nothing(data, home, tmp_path):
    hidden = data.images.copy()
    hidden[1::2] = 0
    names = tuple(name if row % 2 == 0 else "NO NAME" for row, name in enumerate(data.names))
    blind = glyphs.Glyphs(data.characters, names, hidden)
    first, again = trained(data, home), trained(blind, tmp_path)
    assert (first.image[0] == again.image[0]).all()
    assert (first.rarity == again.rarity).all()


def test_a_glyph_alone_is_encoded_as_in_company(data, home):
    towers = trained(data, home)
    together = towers.encode_images(data.images[:5]), towers.encode_names(data.names[:5])
    alone = (
        np.vstack([towers.encode_images(data.images[i : i + 1]) for i in range(5)]),
        np.vstack([towers.encode_names(data.names[i : i + 1]) for i in range(5)]),
    )
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)


def test_too_few_rows_are_refused(data, home):
    with pytest.raises(ValueError, match="rows has 99 entries; expected at least 256"):
        train(data, np.arange(99), temperature=0.1, steps=1, seed=0, data_home=home)
