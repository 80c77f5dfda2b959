"""The README and the page on keeping an index: their code runs, and links lead somewhere."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
KEEP = (ROOT / "docs" / "keep_the_index.md").read_text(encoding="utf-8")


class StandInModel:
    """Unit vectors without meaning: another model turns every one of them alike."""

    def __init__(self, name):
        rng = np.random.default_rng(crc32(name.encode()))
        self.turn = np.linalg.qr(rng.normal(size=(384, 384)))[0]

    def encode(self, texts, *, normalize_embeddings):
        rows = [np.random.default_rng(crc32(text.encode())).normal(size=384) for text in texts]
        rows = np.array(rows) @ self.turn
        assert normalize_embeddings
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def run_blocks(page):
    """Execute the Python of a page from top to bottom, and return what it has defined."""
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    namespace = {"__name__": "page"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"block {number}", "exec"), namespace)
    return namespace


def test_its_ten_lines_find_the_right_documents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    old = rng.normal(size=(300, 16))
    old = (old / np.linalg.norm(old, axis=1, keepdims=True)).astype(np.float32)
    new = (old @ np.linalg.qr(rng.normal(size=(16, 16)))[0]).astype(np.float32)
    for name, rows in (("old", old), ("new", new), ("new_queries", new[[3, 40]])):
        np.save(f"{name}.npy", rows)
    assert run_blocks(README)["rows"][:, 0].tolist() == [3, 40]


def test_the_example_with_real_libraries_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # It is large, and fetches models: what is tested is how the adapter fits between them.
    models = SimpleNamespace(SentenceTransformer=StandInModel)
    monkeypatch.setitem(sys.modules, "sentence_transformers", models)
    namespace = run_blocks(KEEP)
    texts = namespace["texts"]
    _, rows = namespace["search"]([texts[1], texts[30]], k=3)
    assert [texts[first] for first in rows[:, 0]] == [texts[1], texts[30]]
    _, rows = namespace["index"].search(namespace["encode"](namespace["new_model"], [texts[1]]), 3)
    assert texts[rows[0, 0]] != texts[1]  # which the adapter alone brings about


def test_its_relative_links_exist():
    targets = re.findall(r"""\]\(([^)\s]+)|(?:href|src|srcset)=["']([^"'\s]+)""", README)
    relative = {one or other for one, other in targets if not re.match(r"\w+:|#", one or other)}
    assert relative
    assert [link for link in relative if not (ROOT / link.split("#")[0]).exists()] == []
