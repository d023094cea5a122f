"""Small real runs of explainers, written as an audit's folder: tables, pictures and texts."""

from __future__ import annotations

import atexit
import functools
import io
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.explainers import bench, models
from xai_audit import card, digest, pipeline
from xai_audit.audit import Audit
from xai_audit.catalog import methods
from xai_audit.evidence import Evidence
from xai_audit.measure import Settings, Step, measure
from xai_audit.spec import Spec
from xai_audit.subject import Grouping, Subject
from xai_audit.verdict import Counts

METHODS = methods()
COUNTS = Counts(
    rules=0, blocking=0, failed=0, open=0, review=0, passed=0, waived=0, not_applicable=0, informational=0,
    warnings_failed=0,
)  # fmt: skip


def audited(
    subject: Subject, uses: list[tuple[str, dict]], *, examples=True, seed=0, min_cell=10, confidence=0.95
) -> tuple[Audit, Path]:
    """A run of explainers ``(method, params)``, or ``(method, params, name)``, as pipeline.run writes it."""
    named = [(*use, use[0])[:3] for use in uses]
    spec = Spec.model_validate(
        {
            "system": {"name": "A test"},
            "model": {"path": "model.bin"},
            "data": {"test": {"path": "test.csv"}},
            "explainers": [
                {"method": method, "params": params, "name": name} for method, params, name in named
            ],
            "report": {"examples": examples, "min_cell": min_cell},
            "run": {"seed": seed, "confidence": confidence},
        }
    )
    steps = [
        Step(METHODS[method], METHODS[method].params.model_validate(params), name)
        for method, params, name in named
    ]
    outcome = measure(
        subject, steps, Settings(seed=seed, confidence=confidence, min_cell=min_cell, debug=True)
    )
    files = {**outcome.arrays, "rows.parquet": card.rows_file(subject)}
    evidence = [pipeline.publishable(piece, spec, files) for piece in outcome.evidence]
    folder = Path(tempfile.mkdtemp(prefix="xai-audit-verify-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "evidence").mkdir()
    for name, content in files.items():
        (folder / "evidence" / name).write_bytes(content)
    made = Audit(
        outcome="review",
        counts=COUNTS,
        run={},
        spec=pipeline.published(spec),
        policies=(),
        subject=card.describe(subject, spec),
        environment={},
        evidence=tuple(sorted(evidence, key=lambda piece: piece.id)),
        findings=(),
    )
    return Audit.model_validate_json(made.to_json()), folder


def _decided(made: Subject) -> Subject:
    scores = made.scores
    if made.task == "regression":
        return replace(made, prediction=scores[:, 0])
    own = scores[:, made.positive] if scores.shape[1] > 1 else scores[:, 0]
    decided = (own >= made.threshold).astype(np.int64) if made.binary else scores.argmax(axis=1)
    return replace(made, prediction=decided)


# ------------------------------------------------------------------------------------------------- tables
@functools.cache
def table(name: str, grouped: bool = False) -> Subject:
    """A fitted model of tests/explainers/models.py on its table."""
    estimator, train, test, target = models.fitted(name)
    made = _decided(bench.subject(estimator, train, test, target))
    if grouped:
        codes = np.arange(made.test.n) % 2
        made = replace(
            made, groupings=(Grouping(("sex",), ({"sex": "m"}, {"sex": "f"}), codes, (False, False)),)
        )
    return made


SMALL = {
    "shap": {"rows": 40, "background": 20, "resamples": 8},
    "lime": {"rows": 25, "samples": 200, "seeds": 3},
    "permutation_importance": {"rows": 60, "repeats": 3},
    "partial_dependence": {"rows": 50, "points": 5},
}


@functools.cache
def tables(name: str, examples: bool = True) -> tuple[Audit, Path]:
    """Every explainer of tables on one of those models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return audited(table(name), list(SMALL.items()), examples=examples, seed=3)


@functools.cache
def metric(name: str, of: str) -> tuple[Audit, Path]:
    """Permutation importance by a metric that is named."""
    return audited(table(name), [("permutation_importance", {"metric": of, "repeats": 3})])


RUNS = {
    "table": lambda: tables("logistic in a pipeline"),
    "hidden rows": lambda: tables("histogram", False),
    "numbers": lambda: tables("linear"),
    "pictures": lambda: networks("images"),
    "texts": lambda: networks("texts"),
    "a network's table": lambda: networks("table"),
    "concepts": lambda: concepts(),  # noqa: PLW0108  # it is defined below
    "units": lambda: units(),  # noqa: PLW0108
    "a trigger": lambda: trigger(),  # noqa: PLW0108
    "a dictionary": lambda: dictionary(),  # noqa: PLW0108
    "circuits": lambda: circuits(),  # noqa: PLW0108
    "latents": lambda: latents(),  # noqa: PLW0108
    "templates": lambda: templates(),  # noqa: PLW0108
}
"""Audits that every test here looks at, by name."""
PARTLY = {
    "training": lambda: training(),  # noqa: PLW0108  # it is defined below
    "memorised": lambda: training(circuit=False),
    "pairs": lambda: pairs_of_networks(),  # noqa: PLW0108
}
"""Audits of which a part asks networks of other weights, which no folder holds: what is left open is named."""


# ------------------------------------------------------------------------------------------------- networks
NETWORKS = {
    "integrated_gradients": {"rows": 24, "steps": 6, "most_steps": 12, "checked": 4, "twins": 2},
    "gradient_shap": {"rows": 24, "background": 6, "draws": 6},
}
MEDIA = {
    **NETWORKS,
    "occlusion": {"rows": 24},
    "shap": {"rows": 12, "resamples": 5, "permutations": 3},
    "lime": {"rows": 12, "samples": 40, "seeds": 3},
}


def labelled(made: Subject) -> Subject:
    """The same in two groups."""
    codes = np.arange(made.test.n) % 2
    return replace(made, groupings=(Grouping(("sex",), ({"sex": "m"}, {"sex": "f"}), codes, (False, False)),))


@functools.cache
def networks(kind: str, examples: bool = True) -> tuple[Audit, Path]:
    """Every explainer of pictures, of texts, or of a network's tables."""
    from tests.explainers import networks as beds

    uses = list(MEDIA.items())
    if kind == "images":
        made = beds.image_subject(n=50)
        uses = [
            (name, {**params, "segments": 12} if name in {"shap", "lime"} else params)
            for name, params in uses
        ]
        uses += [("shap", {"rows": 5, "method": "partition", "evaluations": 60}, "owen")]
    elif kind == "texts":
        made = beds.text_subject(n=60)
        uses = [
            (name, {**params, "method": "permutation"} if name == "shap" else params) for name, params in uses
        ]
        uses += [("shap", {"rows": 5, "method": "partition", "evaluations": 40}, "owen")]
    else:
        made, uses = beds.table_subject(), list(NETWORKS.items())
    uses.append(("prototypes", {"k": 2, "neighbours": 4, "twins": 2}))
    return audited(labelled(made), uses, examples=examples, seed=5)


@functools.cache
def concepts() -> tuple[Audit, Path]:
    """Claims on two concepts, one of them null, at two sites."""
    from tests.explainers import concept_beds as beds

    made = beds.subject(beds.planted(3, used=5.0), examples=20, pool=80, rows=120)
    asked = {
        "concepts": ["planted", "null"], "random": "pool", "sites": ["mix", "read"], "random_sets": 49,
        "directions": 8, "rows": 60, "examples": 20, "classes": ["1", "0"],
    }  # fmt: skip
    return audited(made, [("tcav", asked)], seed=2)


PREDICATES = [
    *({"name": name, "where": f"{name} == 'yes'"} for name in ("used", "nothing")),
    {"name": "two sets", "positive": "high", "negative": "low"},
]


@functools.cache
def units() -> tuple[Audit, Path]:
    """Probes and rankings of a predicate that is used, of one that is nothing, and of two sets."""
    from tests.explainers import probing_beds as beds

    few = {"predicates": PREDICATES, "permutations": 99, "inputs": 60, "random_units": 8}
    uses = [
        ("sparse_probing", {**few, "sites": ["inner", "bend#out"], "k": [1, 3]}),
        ("neuron_search", {**few, "sites": ["inner", "bend"], "top": 4}),
    ]
    return audited(beds.subject(), uses, seed=3)


@functools.cache
def trigger() -> tuple[Audit, Path]:
    """A trigger that works, with planted networks beside it."""
    from tests.explainers.test_neuron_search import triggered
    from xai_audit.mechanistic.probing import planted

    bed = planted.beds(1, 48, np.random.default_rng([1, 1]))[0]
    stamp = {"name": "stamp", "triggered": "stamped", "target": "1"}
    asked = {"triggers": [stamp], "sites": ["site"], "planted": 1, "random_units": 8}
    return audited(triggered(bed, 240), [("neuron_search", asked)], seed=3)


@functools.cache
def dictionary(examples: bool = True) -> tuple[Audit, Path]:
    """A dictionary of words whose network reads them, its latents, its loss and a law over nine trainings."""
    from tests.explainers import networks as beds

    made = beds.text_subject(n=300, train=False)
    # As the network itself says, so that there is a loss to recover.
    made = replace(made, test=replace(made.test, target=made.scores.argmax(axis=1)))
    asked = {
        "site": "words", "expansion": 2, "k": 2, "tokens": 20_000, "batch": 64, "rows": 60, "directions": 6,
        "effects": 3, "features": 8, "seeds": 3,
        "scaling": {"expansions": [1, 2, 4], "k": [1, 2, 3], "tokens": 4000},
    }  # fmt: skip
    return audited(made, [("sparse_autoencoder", asked)], seed=3, examples=examples)


@functools.cache
def circuits() -> tuple[Audit, Path]:
    """Edges of a stack under each ablation with specifications, and its units; a decoder whose prompts leave one empty."""
    from tests.explainers import circuit_beds as beds

    quick = {"prompts": "ioi", "random_circuits": 79, "twins": 4}
    asked = {"resamples": 2, "metrics": ["logit_difference", "log_probability"], "thresholds": [0.85, 0.95]}
    uses = [
        ("circuit_discovery", {**quick, "level": "edge", "multiverse": asked}),
        (
            "circuit_discovery",
            {
                **quick,
                "sites": ["0"],
                "split": "units",
                "method": "exact",
                "ablation": ["mean"],
                "multiverse": None,
            },
            "circuit_units",
        ),
    ]
    return audited(beds.subject(), uses, seed=6)


@functools.cache
def templates() -> tuple[Audit, Path]:
    """Two templates of different paths, one of too few prompts and one that is not named."""
    from tests.explainers import circuit_beds as beds

    paths = (("left", (0,), 50), ("right", (1,), 50), ("short", (0, 1), 30), ("mine alone", (0, 1), 9))
    asked = {
        "prompts": "ioi", "random_circuits": 79, "twins": 3, "level": "edge", "ablation": ["resample", "mean"],
        "multiverse": {"resamples": 2, "metrics": ["logit_difference"], "thresholds": [0.85, 0.95]},
    }  # fmt: skip
    return audited(beds.templated(paths), [("circuit_discovery", asked)], seed=6)


@functools.cache
def latents() -> tuple[Audit, Path]:
    """Latents of two sites, one dictionary named and one trained, and what they pass on, under two ablations."""
    import torch

    from tests.explainers import circuit_beds as beds
    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.subject import SavedDictionary

    network, made = beds.planted(train=4000)
    rows = network.first / network.first.norm(dim=1, keepdim=True)
    zeros = torch.zeros(len(rows)), torch.zeros(rows.shape[1])
    own = Dictionary(rows.T.clone(), zeros[0] - 0.2, rows, zeros[1], "relu")
    made = replace(made, dictionaries=(SavedDictionary("inner.mix", "sae", "5" * 64, own),))
    asked = {
        "prompts": "ioi", "level": "feature", "sites": ["inner.mix", "inner.mix_2"], "random_circuits": 79, "twins": 3,
        "dictionaries": {
            "expansion": 2, "k": 3, "tokens": 40_000, "batch": 256, "folders": {"inner.mix#out": {"path": "sae"}}
        },
        "ablation": ["resample", "zero"],
        "multiverse": {"resamples": 2, "metrics": ["logit_difference"], "thresholds": [0.85]},
    }  # fmt: skip
    return audited(made, [("circuit_discovery", asked)], seed=6)


@functools.cache
def training(circuit: bool = True) -> tuple[Audit, Path]:
    """Checkpoints of a network that groks, or that only learns by heart."""
    from tests.explainers import training_beds as beds

    with tempfile.TemporaryDirectory() as folder:
        made = beds.subject(Path(folder), circuit=circuit)
        asked = {"resamples": 100, "modular": {"numbers": ["a", "b"]}}
        return audited(made, [("progress_measures", asked)], seed=4)


@functools.cache
def pairs_of_networks() -> tuple[Audit, Path]:
    """Networks of six seeds, trained in two ways."""
    from tests.explainers import pair_beds as beds

    with tempfile.TemporaryDirectory() as folder:
        asked = {"site": "act", "concepts": beds.CONCEPTS}
        return audited(beds.subject(Path(folder)), [("design_delta", asked)], seed=2)


# ------------------------------------------------------------------------------------------------- changes
def leaves(value, path=()):
    """Every number of a tree with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


def at(tree, path):
    """What stands at a path."""
    for key in path:
        tree = tree[key]
    return tree


def with_at(tree, path, value):
    """The same tree with something else at a path."""
    if not path:
        return value
    key, *rest = path
    copy = list(tree) if isinstance(tree, list) else dict(tree)
    copy[key] = with_at(tree[key], rest, value)
    return copy


def replaced(made: Audit, identifier: str, change) -> Audit:
    """The audit with one piece of evidence changed, as JSON."""
    told = []
    for piece in made.evidence:
        if piece.id != identifier:
            told.append(piece)
            continue
        changed = change(piece.model_dump(mode="json"))
        if changed is not None:
            told.append(Evidence.model_validate(changed))
    return made.model_copy(update={"evidence": tuple(told)})


def forged(made: Audit, folder: Path, into: Path, file: str, change) -> tuple[Audit, Path]:
    """A copy whose array file was changed and named anew, wherever audit.json names it."""
    shutil.copytree(folder, into, dirs_exist_ok=True)
    with np.load(folder / "evidence" / file) as held:
        arrays = change({name: held[name] for name in held.files})
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    name = f"{digest.of_bytes(buffer.getvalue())}.npz"
    (into / "evidence" / file).unlink()
    (into / "evidence" / name).write_bytes(buffer.getvalue())
    told = [
        piece.model_copy(
            update={"arrays": {key: name if one == file else one for key, one in piece.arrays.items()}}
        )
        for piece in made.evidence
    ]
    return made.model_copy(update={"evidence": tuple(told)}), into
