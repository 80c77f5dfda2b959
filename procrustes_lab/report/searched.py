"""What the page says of search, of its cost, and of how many pairs are enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from procrustes_lab.core.learning import learning_curve
from procrustes_lab.lab.plotting import COLOURS
from procrustes_lab.lab.tables import Html

from .asked import NEW, OLD, Answers, again, aligned, interval
from .page import picture, table, words
from .study import Study


def with_interval(study: Study, values: NDArray[Any]) -> tuple[float, float, float]:
    """Return a mean with its 95 % interval, as tables show it."""
    return float(np.mean(values)), *interval(np.asarray(values, float), study.seed)


def search_words(study: Study) -> Html:
    """Say what was asked, and by whom it was judged."""
    if (answers := study.answers) is None:
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
    kept = "The documents that answer them"
    if rest > 0:
        kept = f"Of the {len(asked.answers):,} documents that answer them, all but {rest:,}"
    chose = "No query chose a map."
    if answers.chose:
        of = f"{answers.chose:,} of the queries"
        chose = f"{of} chose the map, {study.chosen}; the others grade all of them."
    said = (
        f"{len(asked.collection.queries):,} queries were searched among "
        f"{len(asked.collection.documents):,} documents, graded {source}. {kept} were kept from "
        f"the maps. {chose} Gain is the difference to what you have, old queries over the old "
        "index, query by query."
    )
    if asked.unknown:
        said += (
            f" {asked.unknown:,} judgements are of queries or documents without vectors, and were "
            "left out."
        )
    return words(said)


def search_table(study: Study) -> Html:
    """Show every system's scores."""
    if (answers := study.answers) is None:
        share = study.evidence.overlap
        return words(
            "As a rule of thumb: an upgrade pays before anything is embedded again if the new "
            "model is better than the old by more than 1 over the share that the alignment keeps. "
            f"The share of neighbours that are kept, {share:.0%}, is a careful guess at it, so "
            f"here the new model would have to be about {1 / max(share, 0.01):.1f} times as good."
        )
    rows = []
    for name, values in answers.graded.items():
        gain = None if name == OLD else with_interval(study, values[:, 0] - answers.before)
        mark = " (chosen)" if name == aligned(study.chosen) else ""
        rows.append([f"{name}{mark}", *values.mean(axis=0), gain])
    return table(
        "Search, and the gain over what you have with its 95 % interval",
        ["queries and index", "nDCG@10", "recall@100", "MRR", "gain in nDCG@10"],
        rows,
    )


def search_picture(study: Study) -> Html:
    """Draw the systems that there is a choice between."""
    if (answers := study.answers) is None:
        return words()
    rescored = dict.fromkeys((again(one.k) for one in answers.outcome.rescored), "purple")
    colours = {OLD: "orange", aligned(study.chosen): "blue", **rescored, NEW: "green"}
    scores = [with_interval(study, answers.graded[name][:, 0]) for name in colours]
    means, *ends = zip(*scores, strict=True)
    fig, ax = plt.subplots(figsize=(6.4, 0.9 + 0.42 * len(colours)))
    errors, shown = np.abs(np.subtract(ends, means)), [COLOURS[name] for name in colours.values()]
    ax.barh(list(colours), means, xerr=errors, color=shown, ecolor="black", height=0.6)
    ax.axvline(means[0], color="k", ls=":", lw=1.2)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="nDCG@10, with 95 % interval", xlim=(0, None))
    spoken = "; ".join(f"{name} {mean:.3f}" for name, mean in zip(colours, means, strict=True))
    return picture(fig, f"Bars of nDCG@10: {spoken}")


def break_even(study: Study) -> Html:
    """Say what the upgrade has to bring, and which queries get worse."""
    if (answers := study.answers) is None:
        return words()
    outcome, changes = answers.outcome, answers.after - answers.before
    low, high = outcome.gain
    state = "pays" if low > 0 else "loses" if high < 0 else "is even: its interval includes zero"
    by_itself = "" if outcome.judged else "as it judges itself, "
    said = [
        f"Break-even. The alignment keeps {outcome.kept:.0%} of what the new model can do with an "
        f"index of its own. So the new model has to be at least {outcome.needed:.2f} times as good "
        f"as the old one; {by_itself}it is {outcome.better:.2f} times as good. The change {state}."
    ]
    if worst := worse_queries(answers):
        named = "; ".join("{query} ({old:.2f} → {aligned:.2f})".format(**one) for one in worst)
        said.append(
            f"{np.sum(changes < 0):,} queries get worse and {np.sum(changes > 0):,} better. The "
            f"worst, by nDCG@10 before and after: {named}."
        )
    return words(*said)


def worse_queries(answers: Answers) -> list[dict[str, Any]]:
    """Return the queries, ten at most, that lose most by aligning, with scores before and after."""
    names, before, after = answers.questions.collection.query_ids, answers.before, answers.after
    lost = [j for j in np.argsort(after - before, kind="stable")[:10] if after[j] < before[j]]
    return [
        {"query": names[answers.rows[j]], "old": float(before[j]), "aligned": float(after[j])}
        for j in lost
    ]


def costs(study: Study, speed: float, price: float) -> Html:
    """Show what each decision costs in vectors of the new model, hours, and money.

    Of these, `speed` is how many a second and `price` that of a million; 0 if not known.
    """
    counts = {
        "fit a map on these pairs": 0,
        "embed all documents of the old file again": len(study.pairs.old.rows),
    }
    if outcome := study.evidence.search:
        each = f"vectors a query; for these {outcome.queries:,} queries, each document once"
        for one in outcome.rescored:
            counts[f"re-score the first {one.k}: {one.k} {each}"] = one.vectors
    return table(
        "What it costs, with the speed and the price given (--speed, --price)",
        ["to", "new vectors", "hours", "money"],
        [
            (to, k, k / speed / 3600 if speed else None, k * price / 1e6 if price else None)
            for to, k in counts.items()
        ],
    )


def learning(study: Study) -> tuple[Html, Html]:
    """Draw the error against the number of pairs, and say how many are enough."""
    c, n, seed = study.certificate, study.pairs.n, study.seed
    dimension = min(c.source_dim, c.target_dim)
    some = np.sort(np.random.default_rng(seed).permutation(n)[:8000])
    unseen = max(2, min(1000, len(some) // 5))
    if len(some) - unseen < 6 * dimension:
        return words(
            f"Too few pairs for a learning curve: with {dimension} dimensions it starts to mean "
            f"something at {6 * dimension * 5 // 4:,} pairs, and there are {n:,}. On fewer pairs "
            "than dimensions a map guesses whole directions. More pairs would help."
        ), words()
    curve = learning_curve(*study.pairs.take(some), held_out=unseen, draws=3, seed=seed)
    sizes, held_out, fitted = curve.sizes, curve.held_out, curve.fitted
    if max(held_out) < 1e-9 * c.energy:
        return words(
            f"With {sizes[0]:,} pairs the map is exact already: on unseen pairs nothing is left "
            "but rounding."
        ), words()
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    ax.plot(sizes, held_out, "o-", label="on pairs it has not seen")
    ax.plot(sizes, fitted, "s--", label="on the pairs fitted on")
    ax.axhline(curve.floor, color="k", ls=":", lw=1.2, label="the best turn there is")
    ax.set(xscale="log", xlabel="pairs fitted on", ylabel="mean squared distance")
    ax.set_ylim(0, 1.06 * max(held_out))
    ax.set_xticks(sizes, [f"{m:,}" if k % 2 == 0 else "" for k, m in enumerate(sizes)])
    ax.minorticks_off()
    ax.legend(loc="lower right")
    shown = picture(
        fig,
        f"Learning curve of the turn: on {sizes[0]:,} pairs the error is {held_out[0]:.3g} on "
        f"unseen and {fitted[0]:.3g} on fitted pairs; on {sizes[-1]:,} pairs {held_out[-1]:.3g} "
        f"and {fitted[-1]:.3g}.",
    )
    enough = 0.01 * c.energy
    said = "The error does not fall with more pairs: there is nothing in the pairs to be learned."
    if curve.excess[-1] <= enough:
        within = next(m for m, x in zip(sizes, curve.excess, strict=True) if x <= enough)
        fewer = " or fewer" if within == sizes[0] else ""
        said = (
            "Both lines close in on the best turn there is. Within a hundredth of the energy of "
            f"it, {enough:.2g}, is one fitted on {within:,} pairs{fewer}. You have {n:,}: more "
            "would hardly change it."
        )
    elif curve.exponent > 0.1:
        said = (
            f"A turn fitted on {sizes[-1]:,} pairs still loses {curve.excess[-1]:.2g} to the best "
            f"there is. By the law of the curve, a hundredth of the energy ({enough:.2g}) would be "
            f"reached with about {curve.pairs(enough):,.0f} pairs. You have {n:,}."
        )
    return shown, words(said)
