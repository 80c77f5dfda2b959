"""What the page says of search, of its cost, and of how many pairs are enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.learning import learning_curve
from procrustes_lab.lab.plotting import COLOURS
from procrustes_lab.lab.tables import Html

from .asked import NEW, OLD, Answers, again, aligned, interval
from .page import picture, table, words
from .study import Study

WORST = 10
"""How many queries that get worse are named."""


def with_interval(study: Study, values: NDArray[Any]) -> tuple[float, float, float]:
    """Return a mean with its 95 % interval, as tables show it."""
    return float(np.mean(values)), *interval(np.asarray(values, float), study.seed)


def search_words(study: Study) -> Html:
    """Say what was asked, and by whom it was judged."""
    answers = study.answers
    if answers is None:
        return words(
            "No queries were given. The verdict rests on documents that look for each other, which "
            "is weaker evidence: nobody knows from it by how much the new model is better. Give "
            "query vectors by both models (--queries OLDQ NEWQ), best with judgements (--qrels "
            "FILE), and this section measures when the upgrade pays."
        )
    asked, rest = answers.questions, study.counts["answers seen"]
    source = "where the new model's own first answer counts as right"
    if asked.judged:
        source = "by the judgements given"
    kept = "The documents that answer them were kept from the maps."
    if rest > 0:
        kept = (
            f"Of the {len(asked.answers):,} documents that answer them, all but {rest:,} were "
            "kept from the maps."
        )
    chose = "No query chose a map."
    if answers.chose:
        chose = (
            f"{answers.chose:,} of the queries chose the map, {study.chosen}; the others grade all "
            "of them."
        )
    unknown = ""
    if asked.unknown:
        unknown = (
            f" {asked.unknown:,} judgements are of queries or documents without vectors, and were "
            "left out."
        )
    return words(
        f"{len(asked.collection.queries):,} queries were searched among "
        f"{len(asked.collection.documents):,} documents, graded {source}. {kept} {chose} Gain is "
        f"the difference to what you have, old queries over the old index, query by query.{unknown}"
    )


def search_table(study: Study) -> Html:
    """Show every system's scores."""
    if study.answers is None:
        share = study.evidence.overlap
        return words(
            "As a rule of thumb: an upgrade pays before anything is embedded again if the new "
            "model is better than the old by more than 1 over the share that the alignment keeps. "
            f"The share of neighbours that are kept, {share:.0%}, is a careful guess at it, so "
            f"here the new model would have to be about {1 / max(share, 0.01):.1f} times as good."
        )
    rows = []
    for name, values in study.answers.graded.items():
        gains = values[:, 0] - study.answers.before
        gain = None if name == OLD else with_interval(study, gains)
        mark = " (chosen)" if name == aligned(study.chosen) else ""
        rows.append([f"{name}{mark}", *values.mean(axis=0), gain])
    return table(
        "Search, and the gain over what you have with its 95 % interval",
        ["queries and index", "nDCG@10", "recall@100", "MRR", "gain in nDCG@10"],
        rows,
    )


def search_picture(study: Study) -> Html:
    """Draw the systems that there is a choice between."""
    from matplotlib import pyplot as plt

    if study.answers is None:
        return words()
    colours = {OLD: "orange", aligned(study.chosen): "blue"}
    colours |= {again(one.k): "purple" for one in study.answers.outcome.rescored}
    colours[NEW] = "green"
    scores = [with_interval(study, study.answers.graded[name][:, 0]) for name in colours]
    means, *ends = zip(*scores, strict=True)
    places = range(len(colours))
    fig, ax = plt.subplots(figsize=(6.4, 0.9 + 0.42 * len(colours)))
    errors, shown = np.abs(np.subtract(ends, means)), [COLOURS[name] for name in colours.values()]
    ax.barh(places, means, xerr=errors, color=shown, ecolor="black", height=0.6)
    ax.axvline(means[0], color="k", ls=":", lw=1.2)
    ax.set_yticks(places, list(colours))
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="nDCG@10, with 95 % interval", xlim=(0, None))
    plt.close(fig)
    spoken = "; ".join(f"{name} {mean:.3f}" for name, mean in zip(colours, means, strict=True))
    return picture(fig, f"Bars of nDCG@10: {spoken}")


def break_even(study: Study) -> Html:
    """Say what the upgrade has to bring, and which queries get worse."""
    if study.answers is None:
        return words()
    outcome, changes = study.answers.outcome, study.answers.after - study.answers.before
    low, high = outcome.gain
    state = "pays" if low > 0 else "loses" if high < 0 else "is even: its interval includes zero"
    by_itself = "" if study.answers.questions.judged else "as it judges itself, "
    sentences = [
        f"Break-even. The alignment keeps {outcome.kept:.0%} of what the new model can do with an "
        f"index of its own. So the new model has to be at least {outcome.needed:.2f} times as good "
        f"as the old one; {by_itself}it is {outcome.better:.2f} times as good. The change {state}.",
    ]
    if worst := worse_queries(study.answers):
        named = "; ".join(f"{name} ({old:.2f} → {new:.2f})" for name, old, new in worst)
        sentences.append(
            f"{np.sum(changes < 0):,} queries get worse and {np.sum(changes > 0):,} better. The "
            f"worst, by nDCG@10 before and after: {named}."
        )
    return words(*sentences)


def worse_queries(answers: Answers) -> list[tuple[str, float, float]]:
    """Return the queries that lose most by aligning, with their scores before and after."""
    names = [answers.questions.collection.query_ids[row] for row in answers.rows]
    before, after = answers.before, answers.after
    worst = np.argsort(after - before, kind="stable")[:WORST]
    return [(names[j], float(before[j]), float(after[j])) for j in worst if after[j] < before[j]]


def costs(study: Study, speed: float, price: float) -> Html:
    """Show what each decision costs in vectors, hours and money.

    `speed` is vectors of the new model a second, and `price` that of a million of them, in any
    currency; 0 if not known.
    """
    rows = [
        ("fit a map on these pairs", 0),
        ("embed all documents of the old file again", len(study.pairs.old.rows)),
    ]
    if outcome := study.evidence.search:
        each = f"vectors a query; for these {outcome.queries:,} queries, each document once"
        rows += [(f"re-score the first {r.k}: {r.k} {each}", r.vectors) for r in outcome.rescored]
    cells = [
        (name, k, k / speed / 3600 if speed else None, k * price / 1e6 if price else None)
        for name, k in rows
    ]
    return table(
        "What it costs, with the speed and the price given (--speed, --price)",
        ["to", "new vectors", "hours", "money"],
        cells,
    )


def learning(study: Study) -> tuple[Html, Html]:
    """Draw the error against the number of pairs, and say how many are enough."""
    from matplotlib import pyplot as plt

    c, n, seed = study.certificate, study.pairs.n, study.seed
    dimension = min(c.source_dim, c.target_dim)
    some = np.sort(np.random.default_rng(seed).permutation(n)[:8000])
    unseen = max(2, min(1000, len(some) // 5))
    enough = 0.01 * c.energy
    if len(some) - unseen < 6 * dimension:
        return words(
            f"Too few pairs for a learning curve: with {dimension} dimensions it starts to mean "
            f"something at {6 * dimension * 5 // 4:,} pairs, and there are {n:,}. On fewer pairs "
            "than dimensions a map guesses whole directions. More pairs would help."
        ), words()
    curve = learning_curve(*study.pairs.take(some), held_out=unseen, draws=3, seed=seed)
    if max(curve.held_out) < 1e-9 * c.energy:
        return words(
            f"With {curve.sizes[0]:,} pairs the map is exact already: on unseen pairs nothing is "
            "left but rounding."
        ), words()
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    ax.plot(curve.sizes, curve.held_out, "o-", label="on pairs it has not seen")
    ax.plot(curve.sizes, curve.fitted, "s--", label="on the pairs fitted on")
    ax.axhline(curve.floor, color="k", ls=":", lw=1.2, label="the best turn there is")
    ax.set(xscale="log", xlabel="pairs fitted on", ylabel="mean squared distance")
    ax.set_ylim(0, 1.06 * max(curve.held_out))
    ax.set_xticks(curve.sizes, [f"{m:,}" if k % 2 == 0 else "" for k, m in enumerate(curve.sizes)])
    ax.minorticks_off()
    ax.legend(loc="lower right")
    plt.close(fig)
    shown = picture(
        fig,
        f"Learning curve of the turn: on {curve.sizes[0]:,} pairs the error is "
        f"{curve.held_out[0]:.3g} on unseen and {curve.fitted[0]:.3g} on fitted pairs; on "
        f"{curve.sizes[-1]:,} pairs {curve.held_out[-1]:.3g} and {curve.fitted[-1]:.3g}.",
    )
    said = "The error does not fall with more pairs: there is nothing in the pairs to be learned."
    if curve.excess[-1] <= enough:
        within = next(m for m, x in zip(curve.sizes, curve.excess, strict=True) if x <= enough)
        said = (
            "Both lines close in on the best turn there is. Within a hundredth of the energy of "
            f"it, {enough:.2g}, is one fitted on {within:,} pairs"
            f"{' or fewer' * (within == curve.sizes[0])}. You have {n:,}: more would hardly change "
            "it."
        )
    elif curve.exponent > 0.1:
        said = (
            f"A turn fitted on {curve.sizes[-1]:,} pairs still loses {curve.excess[-1]:.2g} to the "
            f"best there is. By the law of the curve, a hundredth of the energy ({enough:.2g}) "
            f"would be reached with about {curve.pairs(enough):,.0f} pairs. You have {n:,}."
        )
    return shown, words(said)
