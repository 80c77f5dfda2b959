"""What the page says of a study: sentences and tables, every number from where it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from procrustes_lab.core import lens
from procrustes_lab.lab.tables import Html

from .page import TEMPLATES, items, table, words
from .searched import with_interval, worse_queries
from .study import NATIVE, Study, sides_named
from .verdict import Decision

REPORT_MIME = "application/vnd.procrustes-lab.report+json"


@dataclass(frozen=True)
class Facts:
    """The study's numbers for programs; a notebook keeps them as JSON, and shows the verdict."""

    found: dict[str, Any]

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        return {REPORT_MIME: self.found, "text/plain": repr(self.found["verdict"])}


def facts(study: Study) -> Facts:
    """Return all that the verdict rests on, as JSON has it."""
    evidence, verdict, certificate = study.evidence, study.verdict, study.certificate
    found = {
        "verdict": verdict.decision.code,
        "decision": str(verdict.decision),
        "reason": verdict.reason,
        "advice": verdict.decision.advice,
        "basis": verdict.basis,
        "map": study.chosen,
        "pairs": study.pairs.n,
        "by": study.pairs.by,
        "error": certificate.error,
        "energy": certificate.energy,
        "found": evidence.found,
        "overlap": evidence.overlap,
        "overlap_of_old": evidence.native,
        "maps": {
            name: {
                "chosen_by": score,
                "found": float(study.first[name].mean()),
                "overlap": float(study.shared[name].mean()),
            }
            for name, score in study.chosen_by.items()
        },
        "findings": [
            {"kind": f.kind, "severity": f.severity, "sentence": sides_named(f.sentence)}
            for f in study.diagnosis
        ],
        "seed": study.seed,
    }
    if answers := study.answers:
        rescored = [one._asdict() for one in answers.outcome.rescored]
        worse = worse_queries(answers)
        found["search"] = {**vars(answers.outcome), "rescored": rescored, "worse": worse}
    return Facts(found)


def verdict_card(study: Study, names: tuple[str, str]) -> Html:
    """Show the verdict on the new and the old file, by these names: why, the lens, main numbers."""
    evidence, verdict = study.evidence, study.verdict
    near = f"{evidence.overlap:.0%} · {evidence.native:.0%}"
    tiles = [
        (f"{study.pairs.n:,}", f"pairs, joined by {study.pairs.by}"),
        (study.chosen, "is the map, chosen on other pairs than it is graded on"),
        (f"{evidence.found:.0%}", "of unseen new vectors find their own old one first"),
        (near, "of the new model's ten neighbours are found, aligned · by the old model by itself"),
    ]
    if outcome := evidence.search:
        scores = f"{outcome.old:.3f} → {outcome.aligned:.3f}"
        tiles.append((scores, "nDCG@10, old queries → aligned"))
        if best := max(outcome.rescored, key=lambda one: one.score, default=None):
            tiles.append((f"{best.score:.3f}", f"nDCG@10, first {best.k} re-scored, no map"))
    serious = [finding.kind for finding in study.diagnosis if finding.severity != "note"]
    cautions = [f"{kind.capitalize()}: see the diagnosis below." for kind in serious]
    if verdict.decision in (Decision.MIXED, Decision.UNPAIRED):
        cautions = ["Nothing further down means anything until the rows belong together."]
    if study.pairs.by == "position":
        taken = "row i of one was taken for row i of the other"
        cautions.append(f"There are no ids in both files: {taken}.")
    drawing = lens.svg(*study.certificate.lens_point)
    html = TEMPLATES.get_template("card.html.j2").render(
        new=names[0], old=names[1], verdict=verdict, cautions=cautions, lens=drawing, tiles=tiles
    )
    said = [f"{verdict.decision}. {verdict.reason}", verdict.decision.advice]
    said += [f"Rests on {verdict.basis}.", *cautions, *map("  ".join, tiles)]
    return Html(html, "\n".join(said))


def certificate_words(study: Study) -> Html:
    """Say in words what the certificate says."""
    c = study.certificate
    return words(
        f"Two models put the same {study.pairs.n:,} objects into two spaces, of {c.source_dim} "
        f"dimensions (new) and {c.target_dim} (old). One of the spaces can be turned as a whole "
        f"onto the other. Of all turns the best leaves a mean squared distance of {c.error:.3g} "
        "between a new vector and its old partner, where two unrelated vectors of these lengths "
        f"would be {c.energy:.3g} apart. So {1 - c.error / c.energy:.0%} of what could agree does.",
        f"A turn changes no dot product within a space. Those of the two models differ, by "
        f"{c.delta:.3g} in root mean square, and from the differences alone follows that the error "
        f"is at least {c.lower:.3g} and at most {c.best_upper:.3g}, whatever turn is chosen. The "
        "lower end is what no turn repairs; only another model or another map changes it.",
    )


def certificate_table(study: Study) -> Html:
    """Show the certificate's numbers that matter here."""
    c = study.certificate
    rows = [
        ("energy", c.energy, "squared lengths of both vectors of a pair together"),
        ("error", c.error, "left by the best turn, on all pairs"),
        ("lower", c.lower, "no turn can leave less (T2)"),
        ("upper", c.best_upper, "the best turn cannot leave more (T2, T3)"),
        ("theorem", c.theorem, "the bound by Maystre and others (T1)"),
        ("delta", c.delta, "disagreement of a dot product, root mean square"),
    ]
    shown = [(name, float(f"{value:.4g}"), meaning) for name, value, meaning in rows]
    return table("Squared distances per object", ["name", "value", "what it says"], shown)


def held_out_words(study: Study) -> Html:
    """Say how maps were chosen, and on what they are graded."""
    counts, (distance, low, high) = study.counts, study.distance
    by_pairs = max(study.chosen_by, key=lambda name: study.chosen_by[name])
    fell = f"The choice fell on {by_pairs}."
    if by_pairs != study.chosen:
        fell = f"Pairs would choose {by_pairs}; judged queries, which say more, {study.chosen}."
    return words(
        f"Every map was fitted without {counts['choosing']:,} pairs on which one was chosen, by "
        "the geometric mean of two numbers: the mean reciprocal rank at which a new vector finds "
        "its old one, and the share of the new model's ten neighbours that it finds. Then all were "
        f"fitted again with them, on {counts['fitted on']:,}, and graded on "
        f"{counts['held out']:,} others, drawn at random. {fell} The turn's mean squared distance "
        f"on those others is {distance:.4g}; for all objects like these it is between {low:.4g} "
        f"and {high:.4g}, with 95 % confidence and whatever the distribution (empirical "
        "Bernstein).",
        "A distance is not yet a search result. So each held-out new vector looked for its own old "
        f"vector among {counts['among']:,} random objects, by cosine; and, by dot product, for ten "
        "neighbours, to be compared with the ten that the new model finds in its own space. The "
        "last line is the old model by itself, which needs no map: how far both models agree at "
        "all.",
    )


def maps_table(study: Study) -> Html:
    """Show every map, by what chose and by what grades."""
    rows = []
    for name, shared in study.shared.items():
        first = None if name == NATIVE else with_interval(study, study.first[name])
        mark = " (chosen)" if name == study.chosen else ""
        score = study.chosen_by.get(name)
        rows.append([f"{name}{mark}", score, first, with_interval(study, shared)])
    return table(
        "All maps on held-out objects, with 95 % intervals (bootstrap)",
        ["map", "score on pairs that choose", "finds its own first", "neighbours shared with new"],
        rows,
    )


def diagnosis_items(study: Study) -> tuple[Html, Html]:
    """Show the findings, and name the rows they are about."""
    diagnosis, diagnosed, pairs = study.diagnosis, study.diagnosed, study.pairs
    some = len(diagnosed) < pairs.n
    scope = f"Looked at {f'{len(diagnosed):,} of' if some else 'all'} {pairs.n:,} pairs."
    if not diagnosis.findings:
        return words(f"{scope} {diagnosis.looked_for} Nothing was found."), words()
    by = "by row of the old file, from 0" if pairs.old.ids is None else "by id"
    note = " Row numbers in the sentences above count within the rows looked at." if some else ""
    found, named = [], []
    for finding in diagnosis:
        kind, said = finding.kind.capitalize(), sides_named(finding.sentence)
        found.append((f"{kind} ({finding.severity}).", f"{said} What to do: {finding.remedy}"))
        if 0 < len(finding.rows) < len(diagnosed):
            rows = diagnosed[finding.rows[:10]]
            rows = rows if pairs.old_rows is None else pairs.old_rows[rows]
            first = ", ".join(map(str, rows if pairs.old.ids is None else pairs.old.ids[rows]))
            side = said.startswith("The ") * f" of t{said[1:].partition(':')[0]}"
            named.append((f"{kind}{side}, {by}, the first of them:", f"{first}.{note}"))
    return items(found), items(named) if named else words(scope)


def made_from(study: Study, command: str, about: Mapping[str, str]) -> Html:
    """Show what the page can be made from again."""
    pairs, counts = study.pairs, {name: f"{count:,}" for name, count in study.counts.items()}
    only = f"{pairs.only_old:,} objects only in the old file, {pairs.only_new:,} only in the new"
    spared = f"{counts['spared']} documents that answer queries"
    rows = {
        "command": command,
        "pairs": f"{pairs.n:,} by {pairs.by}; {only}",
        "fitted on": f"{counts['fitted on']} pairs, {counts['choosing']} of which chose the map",
        "held out": f"{counts['held out']} pairs, and {spared}",
        "looked at for the diagnosis": f"{len(study.diagnosed):,} pairs",
        "neighbours": f"{counts['held out']} objects among {counts['among']}",
    }
    if study.answers:
        asked = study.answers.questions
        of = f"{len(asked.collection.queries):,} of {asked.available:,}"
        rows["queries"] = f"{of}, among {len(asked.collection.documents):,} documents"
    rows |= {"seed": str(study.seed), **about}
    return table("What this page was made from", ["what", "value"], rows.items())
