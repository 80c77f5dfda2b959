"""Interactions, windows and item vectors; MovieLens from a folder, a zip file and a server."""

import hashlib
import re
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import procrustes_lab as pl
from procrustes_lab.data import datasets, recommenders
from procrustes_lab.data.recommenders import (
    Interactions,
    api_terms,
    fit,
    item_vectors,
    movielens,
    read_movies,
    read_ratings,
    rolling_windows,
)

SMALL = "ml-latest-small"
RATINGS = "userId,movieId,rating,timestamp\n"
MOVIES = (
    "movieId,title,genres\n"
    '1,"Owl, The (1990)",Drama|Comedy\n'
    "2,Elk (1991),Comedy\n"
    "5,Emu (1992),(no genres listed)\n"
    "9,Yak (1993),Drama|Western\n"
    "11,Gnu (1994),Comedy|Western\n"
)
FILMS = [
    "7,5,4.0,300",
    "7,1,3.5,100",
    "7,2,3.0,101",  # not liked
    "3,1,5.0,200",
    "3,5,0.5,250",  # not liked
    "12,1,4.5,50",
    "12,5,3.5,60",
    "12,9,5.0,10",  # the only one who liked it
]


def write(folder, ratings=FILMS, movies=MOVIES):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.csv").write_text(RATINGS + "".join(f"{line}\n" for line in ratings))
    (folder / "movies.csv").write_text(movies)
    return folder


def groups(users=120, items=60, kinds=3, taken=12, seed=0):
    """Each user takes items of one kind; the kind of item i is i modulo `kinds`."""
    rng = np.random.default_rng(seed)
    pairs = [
        (user, item)
        for user in rng.permutation(users)
        for item in rng.choice(np.arange(user % kinds, items, kinds), taken, replace=False)
    ]
    owners, chosen = np.array(pairs).T
    labels = tuple(str(i % kinds) for i in range(items))
    return Interactions(owners, chosen, tuple(map(str, range(items))), labels)


def test_films_that_were_liked_are_read_in_order_of_time(tmp_path):
    write(tmp_path / SMALL)
    found = movielens(minimum=2, data_home=tmp_path)
    assert found.names == ("Owl, The (1990)", "Emu (1992)")
    # Three films of the file are comedies, two are dramas.
    assert found.labels == ("Comedy", "(no genres listed)")
    # Users 3, 7, 12 are 0, 1, 2; films 1, 5 are 0, 1; times 50, 60, 100, 200, 300.
    assert found.users.tolist() == [2, 2, 1, 0, 1]
    assert found.items.tolist() == [0, 1, 0, 0, 1]
    assert repr(found) == "Interactions(5 of 3 users with 2 items)"


def test_the_folder_is_found_through_the_environment(tmp_path, monkeypatch):
    write(tmp_path / SMALL)
    monkeypatch.setenv("PROCRUSTES_LAB_DATA", str(tmp_path))
    assert movielens(minimum=3).names == ("Owl, The (1990)",)


DAMAGED = {
    "a word": "7,one,4.0,300",
    "a field too few": "7,1,4.0",
    "a field too many": "7,1,4.0,300,8",
    "half a user": "7.5,1,4.0,300",
    "an empty line": "",
    "an impossible rating": "7,1,40,300",
    "not a number": "7,1,nan,300",
    "run together": "7,1,4.0,3007,2,5.0,301",
    "a comment": "# 7,1,4.0,300",
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("before", [0, 1, 4, 5, 6])  # by the last it is read alone
def test_a_damaged_rating_is_named_by_file_and_line(tmp_path, monkeypatch, line, before):
    monkeypatch.setattr(recommenders, "_LINES", 3)
    good = ["7,1,4.0,300"] * 6
    path = write(tmp_path / SMALL, [*good[:before], line, *good[before:]]) / "ratings.csv"
    with pytest.raises(ValueError) as caught:
        movielens(data_home=tmp_path)
    assert str(caught.value) == (
        f"{path}, line {before + 2}: found {line!r}, expected userId,movieId,rating,timestamp: "
        "mend the line, or take the file from MovieLens again"
    )


def test_damaged_bytes_are_a_damaged_line(tmp_path):
    path = write(tmp_path) / "ratings.csv"
    path.write_bytes(path.read_bytes().replace(b"3,5,0.5", b"3,\xff5,0.5"))
    with pytest.raises(ValueError, match=r"ratings\.csv, line 6: found '3,\ufffd5,0\.5,250'"):
        read_ratings(path)


def test_another_header_is_line_1_and_no_ratings_are_an_error(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("user::film::rating\n")
    with pytest.raises(ValueError, match=r"ratings\.csv, line 1: found 'user::film::rating'"):
        read_ratings(path)
    path.write_text(RATINGS)
    with pytest.raises(ValueError, match=r"ratings\.csv holds no ratings"):
        read_ratings(path)


@pytest.mark.parametrize("line", ["4,Cat (1999)", "four,Cat (1999),Drama", "4,A,Drama,B", ""])
def test_a_damaged_film_is_named_by_file_and_line(tmp_path, line):
    path = write(tmp_path, movies=f"{MOVIES}{line}\n3,Dog (1998),Drama\n") / "movies.csv"
    message = f"movies.csv, line 7: found {line!r}, expected movieId,title,genres"
    with pytest.raises(ValueError, match=re.escape(message)):
        read_movies(path)


def test_a_film_without_a_title_and_a_minimum_without_a_film_are_refused(tmp_path):
    write(tmp_path / SMALL, movies=MOVIES.replace("5,Emu (1992),(no genres listed)\n", ""))
    with pytest.raises(ValueError, match=r"movies\.csv lacks film 5, which .*ratings\.csv rates"):
        movielens(minimum=2, data_home=tmp_path)
    with pytest.raises(ValueError, match=r"minimum is 4; no film has so many ratings of 3\.5"):
        movielens(minimum=4, data_home=tmp_path)
    with pytest.raises(
        ValueError, match="name is 'ml-1m'; expected one of ml-latest-small, ml-25m"
    ):
        movielens("ml-1m", data_home=tmp_path)


def archive(path, name, ratings=FILMS):
    """Write a zip file as MovieLens has it."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/ratings.csv", RATINGS + "\n".join(ratings))
        file.writestr(f"{name}/movies.csv", MOVIES)
    return path.read_bytes()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve zip files of MovieLens, with their hashes; return the paths that were asked for."""
    folder = tmp_path / "served"
    small, large = (archive(folder / f"{name}.zip", name) for name in (SMALL, "ml-25m"))
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{serving.server_port}/"
    digests = {
        SMALL: f"sha256:{hashlib.sha256(small).hexdigest()}",
        "ml-25m": f"md5:{hashlib.md5(large).hexdigest()}",
    }
    monkeypatch.setattr(recommenders, "MOVIELENS_URL", url)
    monkeypatch.setattr(recommenders, "MOVIELENS_HASHES", digests)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield asked
    serving.shutdown()
    serving.server_close()


def test_what_is_not_there_is_downloaded_once_and_read_as_it_is(tmp_path, server, capfd):
    home = tmp_path / "home"
    found = movielens(minimum=2, data_home=home)
    assert found.names == ("Owl, The (1990)", "Emu (1992)")
    assert found.users.tolist() == [2, 2, 1, 0, 1]
    movielens(minimum=2, data_home=home)
    assert server == [f"/{SMALL}.zip"]
    assert [path.name for path in home.iterdir()] == [f"{SMALL}.zip"]
    assert capfd.readouterr() == ("", "")


def test_a_folder_comes_before_a_download_and_a_damaged_zip_is_fetched_again(tmp_path, server):
    write(tmp_path / "here" / SMALL)
    assert len(movielens(minimum=3, data_home=tmp_path / "here").names) == 1
    assert server == []
    (tmp_path / f"{SMALL}.zip").write_bytes(b"half a fi")
    assert len(movielens(minimum=3, data_home=tmp_path).names) == 1
    assert server == [f"/{SMALL}.zip"]


def test_a_damaged_line_in_the_zip_file_is_named_as_well(tmp_path, server, monkeypatch):
    damaged = archive(tmp_path / "served" / f"{SMALL}.zip", SMALL, ["1,2,3"])
    digest = hashlib.sha256(damaged).hexdigest()
    monkeypatch.setitem(recommenders.MOVIELENS_HASHES, SMALL, f"sha256:{digest}")
    place = tmp_path / "home" / f"{SMALL}.zip" / SMALL / "ratings.csv"
    with pytest.raises(ValueError) as caught:
        movielens(data_home=tmp_path / "home")
    assert str(caught.value).startswith(f"{place}, line 2: found '1,2,3', expected userId")


def test_an_md5_hash_is_checked_too(tmp_path, server, monkeypatch):
    assert len(movielens("ml-25m", 3, data_home=tmp_path / "home").names) == 1
    monkeypatch.setitem(recommenders.MOVIELENS_HASHES, "ml-25m", f"md5:{'0' * 32}")
    with pytest.raises(OSError, match=r"could not be downloaded \(MD5 hash"):
        movielens("ml-25m", 3, data_home=tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "ml-25m.zip").exists()


def test_with_neither_folder_nor_network_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(recommenders, "MOVIELENS_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(OSError) as caught:
        movielens(data_home=tmp_path / "home")
    sentence = str(caught.value)
    assert sentence.startswith(f"MovieLens {SMALL} is not in {tmp_path / 'home'} and could not be")
    assert f"put the folder {SMALL}, with ratings.csv and movies.csv, into" in sentence
    assert "data_home or in PROCRUSTES_LAB_DATA" in sentence
    assert "\n" not in sentence


def test_the_published_hashes_are_those_of_grouplens():
    assert recommenders.MOVIELENS_HASHES["ml-25m"] == "md5:6b51fb2759a8657d3bfcbfc42b592ada"
    kind, _, digest = recommenders.MOVIELENS_HASHES[SMALL].partition(":")
    assert (kind, len(digest), digest[:8]) == ("sha256", 64, "696d65a3")


def test_terms_are_taken_by_documents_and_belong_to_the_library_that_has_most(monkeypatch):
    # Twenty fillers keep every term in at most a tenth of the documents.
    texts = ["owl hoots x1", "Owl barks", "barks owl", "hoots barks"]
    fillers = [f"filler{chr(97 + i)}" for i in range(26)]
    data = datasets.ApiDescriptions(
        names=tuple(map(str, range(30))),
        queries=tuple(map(str, range(30))),
        documents=(*texts, *fillers),
        libraries=("numpy", "scipy", "scipy", "numpy", *["sympy"] * 26),
        versions={},
    )
    monkeypatch.setattr(datasets, "api_descriptions", lambda data_home: data)
    found = api_terms(2, seed=3)
    assert found.names == ("barks", "hoots", "owl")
    assert found.labels == ("scipy", "numpy", "scipy")
    order = np.random.default_rng(3).permutation(30)
    taken = {(int(order[u]), found.names[i]) for u, i in zip(found.users, found.items, strict=True)}
    words = [set(text.lower().split()) & set(found.names) for text in texts]
    assert taken == {(i, word) for i, held in enumerate(words) for word in held}
    assert (np.diff(found.users) >= 0).all()


def test_windows_roll_from_the_first_interaction_to_the_last():
    users, items = np.arange(10), np.array([0, 1, 2, 0, 1, 0, 1, 3, 0, 1])
    found = Interactions(users, items, ("a", "b", "c", "d"), ("x",) * 4)
    windows, kept = rolling_windows(found, versions=3, share=0.6)
    assert kept.tolist() == [0, 1]  # c is too old for the last window, d too new for the first
    expected = np.zeros((3, 10, 4))
    for k, start in enumerate([0, 2, 4]):
        rows = np.arange(start, start + 6)
        expected[k, users[rows], items[rows]] = 1
    np.testing.assert_array_equal([window.toarray() for window in windows], expected[..., :2])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"versions": 1}, "versions is 1; expected at least 2"),
        ({"share": 1.0}, r"share is 1\.0; expected a number between 0 and 1"),
        ({"share": 0.3}, "no item is in every window"),
    ],
)
def test_windows_that_make_no_sense_are_refused(changed, message):
    users = np.arange(9)
    found = Interactions(users, users // 3, ("a", "b", "c"), ("x",) * 3)
    with pytest.raises(ValueError, match=message):
        rolling_windows(found, **changed)


def test_training_is_repeatable_and_learns_who_belongs_together():
    found = groups()
    (window, _), _ = rolling_windows(found, versions=2, share=0.9)
    first, again, other = (fit(window, factors=8, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()
    assert first.items.shape == (60, 9)
    assert (first.users[:, -1] == 1).all()
    # Every item is most like those of its own kind, which nobody told the model.
    vectors, kinds = first.items[:, :-1], np.array(found.labels)
    alike = vectors @ vectors.T - np.diag(np.full(60, np.inf))
    assert (kinds[alike.argmax(axis=1)] == kinds).all()


def test_a_warm_start_goes_on_from_the_version_before_and_leaves_it_alone():
    (before, after), _ = rolling_windows(groups(), versions=2, share=0.8)
    start = fit(before, factors=8, seed=1)
    kept = start.items.copy()
    stayed = fit(after, factors=8, seed=2, start=start, iterations=0)
    np.testing.assert_array_equal(stayed.items, start.items)
    moved = fit(after, factors=8, seed=2, start=start, iterations=2)
    np.testing.assert_array_equal(start.items, kept)
    fresh = fit(after, factors=8, seed=2, iterations=60)
    distance = [np.linalg.norm(made.items - start.items) for made in (moved, fresh)]
    assert 0 < distance[0] < distance[1]


def test_item_vectors_are_unit_rows_kept_on_disk(tmp_path, monkeypatch):
    windows, _ = rolling_windows(groups(), versions=3, share=0.8)
    made = item_vectors(windows, factors=8, seed=1, data_home=tmp_path)
    assert made.shape == (3, 60, 8)
    np.testing.assert_allclose(np.linalg.norm(made, axis=2), 1)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 3
    monkeypatch.setattr(recommenders, "fit", lambda *_, **__: pytest.fail("trains"))
    np.testing.assert_array_equal(
        item_vectors(windows, factors=8, seed=1, data_home=tmp_path), made
    )
    for changed in ({"seed": 2}, {"warm": True}, {"iterations": 5}):
        with pytest.raises(pytest.fail.Exception):
            item_vectors(windows, factors=8, **{"seed": 1, **changed}, data_home=tmp_path)
    assert sorted(tmp_path.iterdir()) == kept


def test_a_version_trained_alike_is_trained_once(tmp_path, monkeypatch):
    windows, _ = rolling_windows(groups(), versions=3, share=0.8)
    options = {"factors": 8, "seed": 1, "data_home": tmp_path}
    cold = item_vectors(windows, **options)
    trained, train = [], recommenders.fit
    monkeypatch.setattr(
        recommenders, "fit", lambda *args, **kwargs: trained.append(0) or train(*args, **kwargs)
    )
    warm = item_vectors(windows, warm=True, **options)
    assert len(trained) == 2  # the first is the cold one
    fresh = item_vectors(windows, warm=True, **options | {"data_home": tmp_path / "fresh"})
    np.testing.assert_array_equal(warm, fresh)
    np.testing.assert_array_equal(warm[0], cold[0])


def test_versions_start_apart_unless_they_start_warm(tmp_path):
    window = rolling_windows(groups(), versions=2, share=0.8)[0][0]
    options = {"factors": 8, "seed": 1, "data_home": tmp_path}
    # The same data twice: only the random start and the order of the steps can differ.
    cold, warm = (item_vectors([window] * 2, warm=warm, **options) for warm in (False, True))
    np.testing.assert_array_equal(cold[0], warm[0])
    np.testing.assert_array_equal(item_vectors([window], **options)[0], cold[0])
    moved = [np.mean(np.sum((made[1] - made[0]) ** 2, axis=1)) for made in (cold, warm)]
    assert moved[1] < moved[0] / 2
    assert pl.align(cold[1], cold[0]).error < moved[0] / 2
