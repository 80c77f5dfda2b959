"""The report, end to end, on files that are written here.

Some are executed in a kernel, as a user's are, the others in this process: the page is the same.
"""

import http.server
import json
import os
import re
import threading
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import in_process
import nbformat
import numpy as np
import pytest
from click.testing import CliRunner
from jinja2 import UndefinedError
from matplotlib import pyplot as plt

from procrustes_lab.cli.commands import report_command
from procrustes_lab.data import beir
from procrustes_lab.files import FileError, read_pairs
from procrustes_lab.report import sections
from procrustes_lab.report.sections import diagnosis_items
from procrustes_lab.report.study import sides_named, study
from procrustes_lab.report.verdict import Decision
from procrustes_lab.report.words import sentence
from procrustes_lab.report.write import Report, write_report

SHARED = Path(os.environ.get("PROCRUSTES_LAB_DATA", Path(__file__).parents[3] / "shared" / "data"))

N, DIMENSION = 1500, 24
HOSTILE = "<script>alert('{x}')<"

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def space():
    """Return vectors that crowd in places, as those of real objects do, and a turn of them."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((100, DIMENSION))[rng.integers(100, size=N)]
    X = centres + 0.7 * rng.standard_normal((N, DIMENSION))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))[0]
    return X, X @ turn, turn


def written(*paths, **options):
    """Write a report without a kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("procrustes_lab.lab.runner.run", in_process.run)
        return write_report(*paths, **options)


def report(folder, new, old, ids=None, name="report", write=written, **options):
    """Write both files, and return the verdict and the page."""
    suffix = ".npy" if ids is None else ".npz"
    paths = folder / f"old{suffix}", folder / f"new{suffix}"
    for path, rows in zip(paths, (old, new), strict=True):
        if ids is None:
            np.save(path, rows)
        else:
            np.savez(path, vectors=rows, ids=ids)
    output = folder / f"{name}.html"
    title = write(*paths, output, **options).title
    return title.split(":")[0], output.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects what a browser would see: tags with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_it_stands_alone(html):
    """Nothing to load, nothing to run, headings in order, every picture with words."""
    reader = Reader(html)
    names = [tag for tag, _ in reader.tags]
    assert not {"script", "iframe", "object", "embed", "base", "form", "img"} & set(names)
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href", "srcset", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, value)
    assert not re.search(r"url\((?!#)|@import|javascript:", html)
    levels = [int(tag[1]) for tag in names if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    assert names.count("main") == names.count("nav") == names.count("footer") == 1
    drawings = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in drawings)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in reader.tags if tag == "a"]
    assert len(links) > 8
    assert set(links) <= set(ids)


def undated(html):
    return re.sub(r'<p id="made">.*?</p>', "", html)


@pytest.fixture(scope="module")
def turned(space, tmp_path_factory):
    folder = tmp_path_factory.mktemp("turned")
    X, Y, _ = space
    return folder, *report(folder, X, Y, write=write_report, keep_notebook=True)


def test_a_planted_turn_keeps_the_index(turned):
    _, verdict, html = turned
    assert verdict == "Align and keep the index"
    assert "weaker evidence" in html
    assert "pairs, joined by position" in html
    assert "row i of one was taken for row i of the other" in html
    assert_it_stands_alone(html)


def test_the_executed_notebook_is_kept_where_asked_and_nothing_else(turned):
    folder, *_ = turned
    assert {path.name for path in folder.iterdir()} == {
        *("old.npy", "new.npy", "report.html", "report.ipynb")
    }
    notebook = nbformat.read(folder / "report.ipynb", as_version=4)
    assert "2 of 2 claims hold" in notebook.cells[-1].outputs[0].data["text/plain"]


def test_the_same_files_and_seed_give_the_same_page_but_for_the_date(turned, tmp_path):
    folder, _, html = turned
    again = tmp_path / "report.html"
    written(folder / "old.npy", folder / "new.npy", again)
    assert undated(again.read_text(encoding="utf-8")) == undated(html)
    assert undated(html) != html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_shuffle_is_not_paired(space, tmp_path):
    X, Y, _ = space
    noisy = Y + 0.05 * np.random.default_rng(1).standard_normal(Y.shape)
    order = np.random.default_rng(2).permutation(N)
    verdict, html = report(tmp_path, X, noisy[order])
    assert verdict == "These rows are not paired"
    assert "Nothing further down means anything" in html
    assert_it_stands_alone(html)


def test_rows_of_both_sides_are_named_where_both_have_a_fault(space, tmp_path):
    X, Y = space[0].copy(), space[1].copy()
    X[[7, 700]], Y[[11, 1100]] = 0, 0
    paths = str(tmp_path / "old.npy"), str(tmp_path / "new.npy")
    for path, rows in zip(paths, (Y, X), strict=True):
        np.save(path, rows)
    sizes = {"held_out": 200, "sample": 300, "judged": 0, "index": 0, "seed": 0}
    _, named = diagnosis_items(study(read_pairs(*paths), **sizes))
    by = "by row of the old file, from 0, the first of them"
    assert f"- Zero rows of the new file, {by}: 7, 700." in str(named)
    assert f"- Zero rows of the old file, {by}: 11, 1100." in str(named)


def test_unrelated_spaces_are_to_be_embedded_again(space, tmp_path):
    X, *_ = space
    noise = np.random.default_rng(4).standard_normal((N, 16))
    verdict, html = report(tmp_path, noise, X)
    assert verdict == "Re-embed"
    assert "cannot be told from noise" in html


def test_files_with_ids_that_have_nothing_in_common_are_to_be_embedded_again(space, tmp_path):
    X, *_ = space
    rng = np.random.default_rng(9)
    centres = rng.standard_normal((60, 16))[rng.integers(60, size=N)]
    others = centres + 0.5 * rng.standard_normal((N, 16))
    verdict, html = report(tmp_path, others, X, ids=np.arange(N))
    assert verdict == "Re-embed"
    assert "joined by identifier" in html


@pytest.fixture(scope="module")
def asked(space, tmp_path_factory):
    """A better new model: the old one is the same with noise, in documents and more in queries."""
    folder = tmp_path_factory.mktemp("asked") / HOSTILE
    folder.mkdir()
    X, Y, turn = space
    rng = np.random.default_rng(6)
    Y = Y + 0.13 * rng.standard_normal(Y.shape)
    answers = rng.permutation(N)[:200]
    queries = X[answers] + 0.02 * rng.standard_normal((200, DIMENSION))
    old_queries = queries @ turn + 0.2 * rng.standard_normal((200, DIMENSION))
    ids = np.array([f"{HOSTILE}img src=x>&\"'\n{{y}} {row}" for row in range(N)])
    X, zero = X.copy(), answers[0]
    X[zero] = 0  # so that diagnosis has a row to name
    np.savez(folder / "oldq.npz", vectors=old_queries, ids=np.arange(200))
    np.savez(folder / "newq.npz", vectors=queries, ids=np.arange(200))
    lines = (f"{q}\t{row}\t1" for q, row in enumerate(answers))
    (folder / "qrels.tsv").write_text("\n".join([*lines, "7\tnobody\t1"]), encoding="utf-8")
    by_row = [str(row) for row in range(N)]
    title, html = report(
        folder,
        *(X, Y, by_row),
        queries=(folder / "oldq.npz", folder / "newq.npz"),
        qrels=folder / "qrels.tsv",
    )
    return folder, title, html, (X, Y, ids, queries, old_queries, zero)


def test_queries_and_judgements_decide(asked):
    _, verdict, html, _ = asked
    assert verdict == "Align now, re-embed later"
    text = unescape(html)
    assert "Rests on measured search, 100 queries" in text
    assert "Break-even" in text
    assert "1 judgements are of queries or documents without vectors" in text
    assert "weaker evidence" not in html
    assert_it_stands_alone(html)


def test_the_table_of_search_is_what_the_files_say(asked):
    """On the half of the queries that did not choose the map."""
    folder, _, html, (X, Y, _, queries, old_queries, _) = asked
    lines = (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[:200]
    answers = np.array([int(line.split("\t")[1]) for line in lines])
    grading = np.sort(np.random.default_rng([0, 3]).permutation(200)[100:])
    systems = {
        "old queries, old index": (old_queries @ Y.T, range(N)),
        "new queries, new index": (queries @ X.T, range(N)),
        "old queries, first 50 re-scored by new": (queries @ X.T, 50),
    }
    for name, (scores, depth) in systems.items():
        if depth == 50:  # what is not among the old index's first 50 cannot be found
            first = np.argsort(-(old_queries @ Y.T), axis=1)[:, :50]
            kept = np.full_like(scores, -np.inf)
            np.put_along_axis(kept, first, np.take_along_axis(scores, first, axis=1), axis=1)
            scores = kept
        own = scores[np.arange(200), answers][:, np.newaxis]
        rank = np.where(np.isfinite(own[:, 0]), np.sum(scores >= own, axis=1), N)
        expected = np.mean(np.where(rank <= 10, 1 / np.log2(1 + rank), 0)[grading])
        row = re.search(rf"{name}</td><td.*?>([\d.]+)</td>", html)
        assert float(row[1]) == pytest.approx(expected, abs=6e-4), name


def test_old_queries_in_another_order_are_asked_about(asked, tmp_path):
    X, Y, _, queries, old_queries, _ = asked[3]
    np.save(tmp_path / "oldq.npy", old_queries[np.random.default_rng(0).permutation(200)])
    np.save(tmp_path / "newq.npy", queries)
    with pytest.raises(FileError, match="are they in the order of the new ones"):
        report(tmp_path, X, Y, queries=(tmp_path / "oldq.npy", tmp_path / "newq.npy"))


def test_a_program_reads_json_and_an_exit_code(monkeypatch, tmp_path):
    numbers = {"verdict": "re-embed", "map": "turn"}
    monkeypatch.setattr(
        "procrustes_lab.report.write.write_report", lambda *_, **__: Report("Re-embed", numbers)
    )
    run = CliRunner().invoke
    output = ["--output", str(tmp_path / "report.html")]
    done = run(report_command, [*output, "--json", "--fail-on", "re-embed, unpaired"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["map"] == "turn"
    assert run(report_command, [*output, "--fail-on", "unpaired"]).exit_code == 0
    with pytest.raises(FileError, match="'embed'; expected some of"):
        run(report_command, [*output, "--fail-on", "embed"], catch_exceptions=False)


@pytest.mark.long
@pytest.mark.parametrize("asking", [False, True])
def test_e5_over_an_index_of_use_need_not_be_embedded_again(asking, tmp_path):
    folder = SHARED / "scifact" / "vectors"
    if not folder.is_dir():
        pytest.skip("SciFact is not at hand")
    collection = beir.load(SHARED / "scifact")
    for model in ("use", "e5"):
        vectors = np.load(folder / f"{model}.npz")
        for kind, ids in (
            ("documents", collection.document_ids),
            ("queries", collection.query_ids),
        ):
            rows = vectors[kind].astype(np.float32)
            np.savez(tmp_path / f"{model} {kind}.npz", vectors=rows, ids=np.array(ids))
    old, new = (str(tmp_path / f"{model} documents.npz") for model in ("use", "e5"))
    queries = (str(tmp_path / "use queries.npz"), str(tmp_path / "e5 queries.npz"))
    qrels = str(SHARED / "scifact" / "qrels" / "test.tsv")
    sizes = {"held_out": 1000, "sample": 3500, "judged": 300, "index": 20_000, "seed": 0}
    found = study(
        read_pairs(old, new), queries if asking else None, qrels if asking else "", **sizes
    )
    assert "cone" in found.diagnosis.kinds
    assert found.evidence.found > 0.9 or asking
    assert found.verdict.decision == (Decision.RE_SCORE if asking else Decision.LATER)


def test_a_sentence_without_its_number_is_an_error():
    best = {"k": 50, "score": 0.25}
    assert " 50 answers of the old index by the new model's " in sentence("rescoring", best)
    with pytest.raises(UndefinedError, match="no attribute 'k'"):
        sentence("rescoring", {"score": 0.25})


def test_a_sentence_names_the_files():
    said = sides_named("X (source): of Y few are near any row of X: most of X, and of X (source).")
    assert said == (
        "The new file: of the old file few are near any row of the new file: most of the new file, "
        "and of the new file."
    )


def test_names_and_ids_stay_text(asked, tmp_path):
    """Without qrels this time: the new model judges."""
    *_, (X, Y, ids, queries, old_queries, zero) = asked
    folder = tmp_path / HOSTILE
    folder.mkdir()
    stem = f"{HOSTILE}b>&amp;\"'`$a$ *b* \n"
    paths = {side: folder / f"{side} {stem}.npz" for side in ("old", "new", "oldq", "newq")}
    for side, rows in zip(paths, (Y, X), strict=False):
        np.savez(paths[side], vectors=rows, ids=ids)
    np.savez(paths["oldq"], vectors=old_queries)
    np.savez(paths["newq"], vectors=queries)
    output = folder / f"{stem}.html"
    title = written(
        *(paths["old"], paths["new"], output), queries=(paths["oldq"], paths["newq"])
    ).title
    html = output.read_text(encoding="utf-8")
    assert_it_stands_alone(html)
    text = Reader(html).text
    assert f"old {stem}.npz" in text
    assert f"new {stem}.npz" in text
    assert ids[zero] in text
    assert f"old {stem}.npz" in title
    assert "the new model's own first answer counts as right" in text


def test_a_failure_is_one_sentence_and_leaves_an_existing_page_as_it_was(space, tmp_path):
    X, Y, _ = space
    (tmp_path / "report.html").write_text("as it was")
    broken = X.copy()
    broken[17, 3] = np.nan
    with pytest.raises(FileError, match=r"new\.npy has NaN in row 17, column 3"):
        report(tmp_path, broken, Y, write=write_report)
    with pytest.raises(FileError, match=r"old\.npy has nothing but zeros"):
        report(tmp_path, X, 0 * Y)
    with pytest.raises(FileError, match="expected at least 20"):
        report(tmp_path, X[:9], Y[:9])
    assert (tmp_path / "report.html").read_text() == "as it was"
    assert {path.name for path in tmp_path.iterdir()} == {"old.npy", "new.npy", "report.html"}


def test_the_columns_that_are_asked_for_are_joined(tmp_path):
    x, order = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30)[::-1]
    np.savez(tmp_path / "old.npz", v=x, number=np.arange(30))
    np.savez(tmp_path / "new.npz", a=-x, b=x[order], row=order)
    paths = str(tmp_path / "old.npz"), str(tmp_path / "new.npz")
    pairs = read_pairs(*paths, ["number", "row"], ["v", "b"])
    assert pairs.by == "id"
    np.testing.assert_array_equal(*pairs.take(range(30)))
    assert read_pairs(*paths, vector_names=["v", "a"], by="position").by == "position"


def test_what_cannot_make_a_report_is_refused_at_once(tmp_path):
    old, new = tmp_path / "old.npy", tmp_path / "new.npy"
    for path in (old, new):
        np.save(path, np.eye(30))
    with pytest.raises(FileError, match="expected two"):
        write_report(old, None, tmp_path / "report.html")
    with pytest.raises(FileError, match="expected their vectors too"):
        write_report(old, new, tmp_path / "report.html", qrels=old)
    with pytest.raises(FileError, match="would replace the input"):
        write_report(old, new, new)
    with pytest.raises(FileError, match="there is no folder"):
        write_report(old, new, tmp_path / "nowhere" / "report.html")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_table_escapes_everything_and_scrolls_by_itself():
    shown = sections.table("<c>", ["<h>", "n"], [["<a>", (0.1, 0.03, 0.2)], ["b", None]])
    assert "<a>" not in shown.html
    assert "<h>" not in shown.html
    assert "<c>" not in shown.html
    assert "0.100 [0.030, 0.200]" in shown.html
    assert shown.html.startswith('<div class="scroll" role="region" tabindex="0"')


def test_a_picture_takes_the_colour_of_the_page_and_repeats_no_name():
    figures = []
    for _ in range(2):
        fig, ax = plt.subplots()
        ax.plot([1, 2], [3, 4.123456], color="black")
        plt.close(fig)
        figures.append(sections.picture(fig, "a <line>").html)
    assert figures[0] == figures[1]
    assert "currentColor" in figures[0]
    assert "#000000" not in figures[0]
    assert "a &lt;line&gt;" in figures[0]
    assert not re.search(r"\d\.\d\d", figures[0])


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_browser_asks_for_nothing_and_complains_of_nothing(asked, chromium, width, height):
    html = asked[2].encode()
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/page"
        shown = chromium.open(address, width=width, height=height)
        assert "Align now, re-embed later" in shown.text
        assert shown.requests == [address]
        assert shown.console == []
        assert shown.overflow <= 0
        drawn = "[...document.querySelectorAll('.picture svg')].map(e => e.clientWidth)"
        assert min(shown.evaluate(drawn)) >= 480, "a picture scrolls in its own box on a phone"
        shown.close()
        server.shutdown()
    assert requests == ["/page"]
