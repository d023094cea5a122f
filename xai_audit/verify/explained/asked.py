"""Whether the evidence is what the spec asks for: every method there with all its parts, parameters and seed as given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xai_audit.evidence import encoded
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

_SHARED = ("coverage", "", "local")
_REMOVED = ("deletion", "insertion")
_STABLE = ("stability", "stability_top5")
_TABLE: dict[str, tuple[str, ...]] = {
    "shap": (*_SHARED, "beeswarm", "additivity", *_STABLE),
    "lime": (*_SHARED, "fidelity", *_STABLE),
}
_ALWAYS: dict[str, tuple[str, ...]] = {
    "shap": (*_SHARED, "additivity", *_STABLE, *_REMOVED),
    "lime": (*_SHARED, "fidelity", *_STABLE, *_REMOVED),
    "integrated_gradients": (*_SHARED, "completeness", *_REMOVED),
    "gradient_shap": (*_SHARED, "additivity", *_REMOVED),
    "occlusion": (*_SHARED, *_REMOVED),
    "permutation_importance": ("",),
    "partial_dependence": (),
    "prototypes": (
        "", "class_mean", "accuracy", "purity", "coverage", "margin", "stability", "suspects", "examples",
        "suspect_examples",
    ),
    "tcav": ("",),
    "circuit_discovery": (),
    "progress_measures": ("", "weights", "phases", "grokking"),
    "sparse_probing": ("",),
    "neuron_search": (),
    "sparse_autoencoder": ("", "stability", "dead", "density", "loss_recovered", "detection"),
    "design_delta": ("", "accuracy", "calibration_error", "log_loss", "circuit_size", "active_units", "nonzero_weights"),
}  # fmt: skip
"""The parts that a method yields whenever it ran to its end, measured or skipped."""


def uses(made: Audit) -> list[Mapping[str, Any]]:
    """The explainers that the spec asks for: method, params and the name their evidence carries."""
    return [use for use in made.spec.get("explainers") or () if isinstance(use, dict)]


def present(made: Audit) -> Iterator[Check]:
    """What the spec asks for and the audit does not hold, and explanations that nobody asked for."""
    names = {use.get("name") for use in uses(made)}
    for use in uses(made):
        name, method = str(use.get("name")), str(use.get("method"))
        own = {piece.id: piece for piece in made.evidence if of(piece) == name}
        if not own:
            yield Check("broken", name, f"the spec asks for {method}; no evidence of it is there")
            continue
        if _cut_short(own, name):
            continue
        for identifier in parts(made, method, name, own):
            if identifier not in own:
                yield Check(
                    "broken", identifier, f"{method} gives it in every run like this one; it is not there"
                )
    for piece in made.evidence:
        if piece.kind == "explainer" and of(piece) not in names:
            yield Check("broken", piece.id, "the spec asks for no explainer of that name")


def of(piece: Evidence) -> str:
    """The name in the spec that a piece of evidence belongs to."""
    return piece.id.partition("/")[0]


def _cut_short(own: Mapping[str, Evidence], name: str) -> bool:
    """Whether the method did not run to its end: it failed, or what it needs was not there."""
    whole = own.get(name)
    return whole is not None and (whole.status == "failed" or (whole.status == "skipped" and len(own) == 1))


def parts(made: Audit, method: str, name: str, own: Mapping[str, Evidence]) -> list[str]:
    """The evidence ids that a method leaves in a run like this one."""
    about = made.subject
    params = _params(own)
    table = about.get("modality", "table") == "table"
    found = list(_TABLE[method] if table and method in _TABLE else _ALWAYS.get(method, ()))
    ids = [f"{name}/{part}" if part else name for part in found]
    if method == "integrated_gradients":
        ids += [f"{name}/baselines"] if params.get("beside") != [] else []
        ids += [f"{name}/twin"] if params.get("twins") else []
    if method == "prototypes":
        ids += [f"{name}/head"] if params.get("head") is not None else []
        whole = own.get(f"{name}/coverage")
        if whole is not None and whole.status == "measured":
            ids += [f"{name}/{encoded(column)}" for column in by(made)]
    if method == "partial_dependence":
        wanted = params.get("columns")
        columns = wanted if wanted is not None else [column["name"] for column in about.get("columns") or ()]
        ids += [f"{name}/{column}" for column in columns]
    if method == "progress_measures":
        ids += [f"{name}/fourier", f"{name}/circuit"] if params.get("modular") is not None else []
    if method == "design_delta":
        ids += [f"{name}/{encoded('auroc@' + one['name'])}" for one in params.get("concepts") or ()]
    if method == "circuit_discovery":
        ids += _circuits(name, own, params)
    if method == "tcav":
        ids += _claims(name, own)
    if method in {"sparse_probing", "neuron_search"}:
        ids += _units(method, name, params, own)
    if method == "sparse_autoencoder":
        ids += _latents(name, params, own)
    return ids


def site_of(text: str) -> str:
    """A site as evidence names it: its path, the port where it is the input, then head and position."""
    path, *chosen = text.strip().split("@")
    numbers = {key: int(number) for key, _, number in (one.partition("=") for one in chosen)}
    return path.removesuffix("#out") + "".join(
        f"@{key}={numbers[key]}" for key in ("head", "pos") if key in numbers
    )


def _units(method: str, name: str, params: Mapping[str, Any], own: Mapping[str, Evidence]) -> Iterator[str]:
    """A claim of each predicate, or of each trigger at each site, and what stands beside those that were measured."""
    sites = list(dict.fromkeys(site_of(str(site)) for site in params.get("sites") or ()))
    predicates = [one["name"] for one in params.get("predicates") or ()]
    if method == "neuron_search":
        yield from (f"{name}/{encoded(one)}" for one in predicates)
        claimed, beside = [one["name"] for one in params.get("triggers") or ()], "edits"
    else:
        claimed, beside = predicates, "k"
    for one in claimed:
        for site in sites:
            claim = f"{name}/{encoded(f'{one}@{site}')}"
            yield claim
            if claim in own and own[claim].status == "measured":
                yield f"{name}/{encoded(f'{one}@{site}@{beside}')}"


def _latents(name: str, params: Mapping[str, Any], own: Mapping[str, Evidence]) -> Iterator[str]:
    """Pages of a dictionary of texts, the latents that were taken out, a law where one was asked for."""
    detection = own.get(f"{name}/detection")
    if detection is not None and detection.status == "measured":
        yield from (f"{name}/{part}" for part in ("features", "contexts"))
    taken = params.get("taken_out")
    if taken:
        yield from (f"{name}/{encoded(f'effect@{latent}')}" for latent in taken)
    elif params.get("effects"):
        yield f"{name}/effect"
    if params.get("scaling") is not None:
        yield f"{name}/scaling"
        law = own.get(f"{name}/scaling")
        if law is not None and law.status == "measured":
            yield f"{name}/dead_by_size"


def by(made: Audit) -> list[str]:
    """The sensitive columns by which prototypes are counted."""
    return [
        grouping["columns"][0]
        for grouping in made.subject.get("groupings") or ()
        if len(grouping["columns"]) == 1 and not grouping["explanatory"]
    ]


def _params(own: Mapping[str, Evidence]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for piece in own.values():
        found = {**piece.params, **found}
    return found


def _claims(name: str, own: Mapping[str, Evidence]) -> list[str]:
    whole = own.get(name)
    if whole is None or whole.status != "measured":
        return []
    concepts = [one["name"] for one in whole.params.get("concepts") or ()]
    # As the table names them: a site may be written in several ways.
    sites = list(getattr(whole.observation, "columns", ()))
    labels = [str(label) for label in whole.params.get("classes") or ()]
    return [
        f"{name}/{encoded(f'{concept}@{site}@{label}')}"
        for concept in concepts
        for site in sites
        for label in labels
    ]


def _circuits(name: str, own: Mapping[str, Evidence], params: Mapping[str, Any]) -> list[str]:
    """A claim for each ablation; with any measured the common parts, and its elements where it is not all of them."""
    ids = [f"{name}/{ablation}" for ablation in params.get("ablation") or ()]
    claims = [own[one] for one in ids if one in own and own[one].status == "measured"]
    for claim in claims:
        if claim.params.get("circuit_size") != claim.params.get("elements"):
            ids.append(f"{claim.id}-elements")
            ids += [f"{claim.id}-graph"] if params.get("level", "node") in ("edge", "feature") else []
    if claims:
        ids += [name, f"{name}/growth"]
        ids += [f"{name}/multiverse"] if params.get("multiverse") is not None else []
    return ids


# ------------------------------------------------------------------------------------------------ parameters
def contradictions(made: Audit, piece: Evidence, computed: frozenset[str]) -> list[str]:
    """Where a piece's method, seed or parameters are not those of the spec, nor those of the method's other parts.

    ``computed`` are the parameters that were made again from the evidence itself.
    """
    found: list[str] = []
    use = next((one for one in uses(made) if one.get("name") == of(piece)), None)
    if use is None:
        return found
    if use.get("method") != piece.method:
        found.append(f"method is {piece.method}; the spec says {use.get('method')}")
    seed = (made.spec.get("run") or {}).get("seed", 0)
    if piece.seed != seed:
        found.append(f"seed is {piece.seed}; run.seed is {seed}")
    for key, value in sorted((use.get("params") or {}).items()):
        if key in computed or value == "auto":
            continue
        told = piece.params.get(key, _ABSENT)
        if key == "players" and piece.status == "measured":
            if value is not None and not str(told).startswith(_PLAYERS.get(str(value), str(value))):
                found.append(f"params.players is {told!r:.60}; the spec says {value!r:.60}")
        elif told is _ABSENT or not _as_given(told, value):
            found.append(f"params.{key} is {piece.params.get(key)!r:.60}; the spec says {value!r:.60}")
    return found + _unlike_others(made, piece, computed)


def _unlike_others(made: Audit, piece: Evidence, computed: frozenset[str]) -> list[str]:
    others = [
        one for one in made.evidence if of(one) == of(piece) and one.status == "measured" and one is not piece
    ]
    found = []
    own = computed | _OWN
    if piece.status != "measured":
        own = own | _SETTLED
    for key in sorted(piece.params.keys() - own):
        values = [one.params[key] for one in others if one.params.get(key) is not None]
        if piece.params[key] is None and piece.status == "measured":
            values = [one.params[key] for one in others if key in one.params]
        # One of two that part is wrong; the one that most others contradict is named.
        unlike = [value for value in values if value != piece.params[key]]
        if unlike and 2 * len(unlike) >= len(values):
            found.append(f"params.{key} is {piece.params[key]!r:.60}; other parts say {unlike[0]!r:.60}")
    return found


_ABSENT = object()
_PLAYERS = {"grid": "cells of a grid"}
"""How the words for a kind of parts begin, where that is not its name."""
_OWN = frozenset({"classes", "examples", "finding"})
"""Parameters whose names a part uses for what it found itself."""
_SETTLED = frozenset({"rows", "evaluations", "samples", "metric", "baseline"})
"""Parameters that a method settles as it runs; a part that was skipped shows what was asked."""


def _as_given(published: Any, given: Any) -> bool:
    """Whether a parameter is the one given; what the method fills in beside it is its own."""
    if isinstance(given, dict):
        return isinstance(published, dict) and all(
            key in published and _as_given(published[key], value) for key, value in given.items()
        )
    if isinstance(given, (list, tuple)):
        return (
            isinstance(published, (list, tuple))
            and len(published) == len(given)
            and all(map(_as_given, published, given))
        )
    if isinstance(published, dict):
        return bool(published.get("name") == given)
    if isinstance(given, (int, float)) and isinstance(published, (int, float)):
        return float(given) == float(published)
    return str(published) == str(given) and (published is None) == (given is None)
