"""The adapter: its file is a map like any other, with its origin beside it."""

import contextlib

import numpy as np
import pytest

import procrustes_lab as pl
from procrustes_lab.files.outputs import Adapter

FACTS = {
    "name": "centred, whitened 0.1",
    "for_queries": False,
    "kept": (0.9, 0.85, 0.93),
    "knots": np.array([[0.1, 0.4], [0.2, 0.6]]),
}


@pytest.fixture
def adapter():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    return Adapter(
        pl.align(x, y, center=True, whiten=0.1), pl.certify(x, y), "ab" * 32, "cd" * 32, **FACTS
    )


def test_it_comes_back_as_it_was(adapter, tmp_path):
    adapter.save(tmp_path / "adapter.npz")
    loaded = Adapter.load(tmp_path / "adapter.npz")
    assert loaded.certificate == adapter.certificate
    assert (loaded.source_sha256, loaded.target_sha256) == ("ab" * 32, "cd" * 32)
    for name, value in FACTS.items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    for name, value in vars(adapter.alignment).items():
        np.testing.assert_array_equal(getattr(loaded.alignment, name), value)


def test_its_file_is_plain(adapter, tmp_path):
    adapter.save(tmp_path / "adapter.npz")
    with np.load(tmp_path / "adapter.npz", allow_pickle=False) as file:
        assert {name: file[name].item() for name in ("format", "direction", "n")} == {
            "format": 2,
            "direction": "new → old",
            "n": 30,
        }
        assert (file["source_dim"], file["target_dim"]) == (4, 3)
        assert file["certificate_error"] == adapter.certificate.error


def test_the_library_reads_it_as_an_alignment(adapter, tmp_path):
    adapter.save(tmp_path / "adapter.npz")
    loaded = pl.Alignment.load(tmp_path / "adapter.npz")
    np.testing.assert_array_equal(loaded.apply(np.eye(4)), adapter.alignment.apply(np.eye(4)))


def test_a_plain_alignment_is_no_adapter(adapter, tmp_path):
    adapter.alignment.save(tmp_path / "map.npz")
    with pytest.raises(ValueError, match="has the direction 'unknown', not"):
        Adapter.load(tmp_path / "map.npz")


def test_its_name_is_text_and_its_use_is_told_by_one_number(adapter, tmp_path):
    path = tmp_path / "adapter.npz"
    adapter.save(path)
    with np.load(path) as file:
        fields = dict(file)
    np.savez(path, **fields | {"name": 7, "for_queries": 0})
    loaded = Adapter.load(path)
    assert (loaded.name, loaded.for_queries) == ("7", False)
    np.savez(path, **fields | {"for_queries": [True, False]})
    with pytest.raises(ValueError, match="make it again with procrustes-lab fit"):
        Adapter.load(path)


def test_no_flipped_byte_is_a_raw_error(adapter, tmp_path):
    path = tmp_path / "adapter.npz"
    adapter.save(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):  # a flip in the padding harms nothing
            Adapter.load(path)
