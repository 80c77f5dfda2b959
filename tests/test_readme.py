"""The README: its code runs, and its links lead somewhere."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_its_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # It is large, and fetches models: what is tested is how the adapter fits between them.
    models = SimpleNamespace(SentenceTransformer=StandInModel)
    monkeypatch.setitem(sys.modules, "sentence_transformers", models)
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    namespace = {"__name__": "readme"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"README.md, block {number}", "exec"), namespace)
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
