"""The README: its code runs, and its links lead somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    namespace = {"__name__": "readme"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"README.md, block {number}", "exec"), namespace)


def test_its_relative_links_exist():
    targets = re.findall(r"""\]\(([^)\s]+)|(?:href|src|srcset)=["']([^"'\s]+)""", README)
    relative = {one or other for one, other in targets if not re.match(r"\w+:|#", one or other)}
    assert relative
    assert [link for link in relative if not (ROOT / link.split("#")[0]).exists()] == []
