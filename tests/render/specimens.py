"""Audits of pictures and texts made by hand: contributions, concepts, prototypes, identity terms, hostile texts."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

from PIL import Image

from tests.render import audits
from xai_audit.audit import Audit
from xai_audit.evidence import (
    Cases,
    Control,
    Evidence,
    Group,
    Groups,
    Inference,
    Robustness,
    Sampling,
    Scalar,
    Selftest,
    Summary,
    exactly,
)


def encoded(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def drawn(seed: int, side: int = 32) -> Image.Image:
    """A picture of a disc on a slope of colours, different for each seed."""
    image = Image.new("RGB", (side, side))
    x0, y0, r = side * (0.3 + 0.1 * (seed % 4)), side * (0.3 + 0.13 * (seed % 3)), side / 4
    image.putdata(
        [
            (220, 60 + 20 * (seed % 8), 40) if math.hypot(x - x0, y - y0) < r else (x * 250 // side, 120, y * 250 // side)
            for y in range(side)
            for x in range(side)
        ]
    )  # fmt: skip
    return image


def picture(seed: int, side: int = 32) -> dict[str, Any]:
    return {"width": side, "height": side, "png": encoded(drawn(seed, side))}


def wave(width: int, height: int, phase: float) -> dict[str, Any]:
    values = [
        [
            float(f"{0.02 * math.sin(x / width * 5 + phase) * math.cos(y / height * 4 + phase / 2):.3g}")
            for x in range(width)
        ]
        for y in range(height)
    ]
    return {"width": width, "height": height, "values": values}


def image_case(seed: int, why: str, side: int = 32, cells: int = 32, **more: Any) -> dict[str, Any]:
    return {
        "kind": "image", "why": why, "label": "horse", "predicted": "dog", "explained": "dog", "score": 0.9132,
        "base": 0.1004, "unit": "probability", "picture": picture(seed, side), "map": wave(cells, cells, seed), **more,
    }  # fmt: skip


def text_case(text: str, why: str = "the highest score", **more: Any) -> dict[str, Any]:
    tokens: list[dict[str, Any]] = []
    for k, word in enumerate(text.split(" ")):
        if k:
            tokens.append({"text": " ", "phi": None, "low": None, "high": None})
        value = 0.2 * math.sin(1.7 * k + 1)
        tokens.append({"text": word, "phi": value, "low": value - 0.03, "high": value + 0.03})
    return {
        "kind": "text", "why": why, "label": "positive", "predicted": "negative", "explained": "positive",
        "score": 0.31, "base": 0.5, "unit": "probability", "tokens": tokens, **more,
    }  # fmt: skip


def neighbour(seed: int, label: str, predicted: str, distance: float | None) -> dict[str, Any]:
    return {"picture": picture(seed), "label": label, "predicted": predicted, "distance": distance}


def gallery(**more: Any) -> dict[str, Any]:
    return {
        "kind": "prototypes", "why": "the surest mistake", "class": "dog", "score": 0.91,
        "query": neighbour(1, "horse", "dog", None),
        "nearest": [neighbour(k, "dog" if k < 5 else "cat", "dog", 0.2134 * k) for k in range(2, 7)],
        "counter": [neighbour(k, "horse", "horse", 1.5 + k) for k in range(7, 12)], **more,
    }  # fmt: skip


def text_gallery() -> dict[str, Any]:
    def shown(text: str, label: str, distance: float | None) -> dict[str, Any]:
        return {"text": text, "label": label, "predicted": "negative", "distance": distance}

    return {
        "kind": "prototypes", "why": "the least sure", "class": "negative", "score": 0.52,
        "query": shown("a film that is never quite dull", "positive", None),
        "nearest": [shown("never quite as dull as it looks", "negative", 0.21), shown("dull " * 200, "negative", 0.34)],
        "counter": [shown("<b>never</b> dull", "positive", 0.4)],
    }  # fmt: skip


def cases(name: str, title: str, found: list[dict[str, Any]]) -> Evidence:
    return Evidence(
        id=name, method=name.partition("/")[0], kind="explainer", title=title, status="measured",
        observation=Cases(cases=tuple(found)), limits=("It describes the model, not the world.",),
    )  # fmt: skip


def concept(word: str, site: str, value: float, rung: str, **more: Any) -> Evidence:
    """A claim on a concept with all that its sentence holds; the rung is given, as a reader of audit.json gets it."""
    used = rung in {"intervened", "robust"}
    held = rung != "described"
    random = audits.between(0.001 if used else value * 0.9, -0.004, 0.006 if used else value * 1.1, 20)
    return Evidence(
        id=f"tcav/{word}-{site}", method="tcav", kind="explainer", title=f"{word} at {site}, zebra", status="measured",
        measures="The change in the probability of a class when the activation moves to a concept's mean.",
        observation=Scalar(estimate=audits.between(value, value - 0.03, value + 0.03, 400), unit="probability"),
        params={
            "concept": word, "site": site, "class": "zebra", "sign_score": {"value": 0.91, "low": 0.87, "high": 0.94, "n": 400},
            "mean_cosine": {"value": 0.3, "low": 0.25, "high": 0.35, "n": 400}, "cav_accuracy": {"value": 0.93, "low": 0.85, "high": 0.97, "n": 40},
            "cav_accuracy_null": 0.51, "random_direction": {"value": random.value, "low": random.low, "high": random.high, "n": 20},
            "examples": 50, "random_sets": 250, "n_inputs": 400,
        },
        controls=(
            Control(name="held-out accuracy of the direction above that of random sets", expectation="positive", estimate=audits.between(0.42, 0.33 if held else -0.02, 0.5, 40), passed=held),
            Control(name="the move to the concept mean", expectation="positive", estimate=audits.between(value, value - 0.03, value + 0.03, 400), passed=value > 0.03, edit=True),
            Control(name="random directions of equal length", expectation="null", estimate=random, passed=used, edit=True),
        ),
        inference=Inference(p=0.004 if held else 0.21, adjusted=0.02 if held else 0.8, method="permutation over sets", family="concepts and layers", m=6),
        robustness=Robustness(specifications=10, agreeing=9, share=0.9) if rung == "robust" else None,
        selftest=Selftest(bed="planted concept", passed=True, estimate=exactly(1.0, 20)),
        limits=("It speaks of these examples of the concept, not of the word.",),
        rung=rung, **more,
    )  # fmt: skip


def concepts() -> list[Evidence]:
    return [
        concept("stripes", "layer3", 0.12, "robust"),
        concept("stripes", "layer10", 0.08, "intervened"),
        concept("dots", "layer3", 0.05, "associated"),
        concept("dots", "layer10", 0.01, "described"),
        concept("<b>wavy</b>", "layer3", -0.02, "described"),
        Evidence(
            id="tcav/flat-layer1", method="tcav", kind="explainer", title="flat at layer1", status="skipped",
            reason="the gradient at layer1 is the same for every input, so sign scores say nothing",
            params={"concept": "flat", "site": "layer1", "class": "zebra"},
        ),
    ]  # fmt: skip


def checks(method: str) -> list[Evidence]:
    return [
        audits.scalar(f"{method}/completeness", audits.between(0.004, 0.002, 0.007, 200), "Completeness residual", "The share of the distance that the contributions miss.", kind="explainer"),
        audits.scalar(
            f"{method}/faithfulness", audits.between(0.31, 0.27, 0.35, 200), "Fall in score when the parts named first are removed",
            "How much more the score falls than when as many parts at random are removed.", kind="explainer", rung="associated",
            controls=(Control(name="parts at random", expectation="null", estimate=audits.between(0.0, -0.01, 0.01, 200), passed=True),),
            inference=Inference(p=0.0004, adjusted=0.0008, method="sign flips over pictures", family="explainers", m=2),
        ),
        audits.scalar(f"{method}/coverage", exactly(1.0, 200), "Pictures explained", kind="explainer", sampling=Sampling(available=1000, used=200, how="the 200 smallest digests of seed and content")),
    ]  # fmt: skip


DETAILS = {
    "type": "Net", "parameters": 62006, "layers": ["conv1 Conv2d 3→6, 5×5", "conv2 Conv2d 6→16, 5×5", "fc3 Linear 84→10"],
    "device": "cpu", "entry": "net.py:build",
}  # fmt: skip


def subject(modality: str, **more: Any) -> dict[str, Any]:
    bare = audits.failing().subject
    test = {"sha256": audits.DIGEST, "rows": 1000, "path": "images"}
    test |= (
        {"sizes": {"32 × 32 × 3": 1000}}
        if modality == "image"
        else {"characters": {"min": 12, "median": 96, "max": 640}}
    )
    return {
        **bare, "modality": modality, "data": {"test": test},
        "model": {"format": "torch", "sha256": audits.DIGEST, "details": DETAILS},
        "columns": [{"name": modality, "kind": modality, "levels": 0}], "sensitive_inputs": [], "notes": [],
        "groupings": [{"columns": ["site"], "labels": ["north", "south"], "counts": [400, 600]}],
        "sets": {"stripes": {"sha256": audits.DIGEST, "path": "concepts/stripes", "rows": 50}, "random": {"sha256": audits.DIGEST[::-1], "path": "pool", "rows": 5000}},
        **more,
    }  # fmt: skip


def images(examples: bool = True, **more: Any) -> Audit:
    shap = [
        image_case(1, "nearest the median score"),
        image_case(2, "the surest mistake", cells=8),
        image_case(3, "the highest score", side=96, cells=64),
    ]
    ig = [image_case(1, "nearest the median score", map=wave(32, 32, 5), base=None, unit="logit")]
    evidence = [
        audits.scalar("accuracy", audits.wilson(577, 1000), "Accuracy", "The share predicted correctly."),
        cases("shap/local", "SHAP, by superpixel", shap),
        cases("integrated_gradients/local", "Integrated gradients", ig),
        *checks("integrated_gradients"),
        *concepts(),
        cases("prototypes/local", "Nearest examples", [gallery(), gallery(query=None, why="class dog")]),
        audits.scalar(
            "prototypes/fidelity", audits.between(0.94, 0.91, 0.96, 400), "Agreement of the nearest-prototype rule with the model",
            "The share of decisions that the label of the nearest prototype gives too.", kind="explainer",
        ),
    ]  # fmt: skip
    spec = audits.spec(
        report={"examples": examples},
        data={"target": "label"},
        explainers=[{"name": m, "method": m} for m in ("shap", "integrated_gradients", "tcav", "prototypes")],
    )
    return audits.audit([], evidence, "review", spec=spec, subject=subject("image", **more))


TERMS = [
    ("women", 0.84, 900),
    ("muslim", 0.71, 220),
    ("gay", 0.69, 180),
    ("blind", 0.8, 24),
    ("sikh", 0.0, 4),
]


def area(method: str, title: str, shift: float) -> Evidence:
    groups = []
    for term, value, n in TERMS:
        if n < 10:
            groups.append(Group(key={"term": term}, n=None, status="suppressed", reason="n < 10"))
            continue
        v = min(value + shift, 0.98)
        groups.append(
            Group(
                key={"term": term},
                n=n,
                status="measured" if n > 30 else "insufficient",
                estimate=audits.between(v, v - 1 / math.sqrt(n), min(1.0, v + 1 / math.sqrt(n)), n),
            )
        )
    summary = Summary(
        difference=audits.between(0.15, 0.06, 0.25, 1080), between=("gay", "women"), pairs=3, insufficient=1
    )
    return Evidence(
        id=f"{method}/term", method=method, kind="metric", title=title, status="measured",
        observation=Groups(by=("term",), groups=tuple(groups), summary=summary, overall=audits.between(0.9, 0.88, 0.92, 4000)),
    )  # fmt: skip


def swapped() -> Evidence:
    groups = [
        Group(
            key={"list": of, "term": term},
            n=300,
            status="measured",
            estimate=audits.between(v, v - 0.02, v + 0.02, 300),
        )
        for of, term, v in (
            ("faith", "muslim", 0.06),
            ("faith", "christian", -0.05),
            ("faith", "hindu", -0.01),
            ("sex", "woman", 0.004),
        )
    ]
    summary = Summary(
        difference=audits.between(0.11, 0.07, 0.15, 300),
        between=("faith, christian", "faith, muslim"),
        pairs=3,
    )
    return Evidence(
        id="counterfactual_token_fairness/terms", method="counterfactual_token_fairness", kind="metric",
        title="Score with each identity term in the same texts", status="measured",
        observation=Groups(by=("list", "term"), groups=tuple(groups), summary=summary),
    )  # fmt: skip


LONG = " ".join(f"word{k}" for k in range(400))
HOSTILE = " ".join([*audits.HOSTILE, "שלום", "مرحبا", "zero\u200bwidth", "a" * 300, "line\nbreak"])


def texts() -> Audit:
    evidence = [
        audits.scalar("accuracy", audits.wilson(812, 1000), "Accuracy", "The share predicted correctly."),
        area("subgroup_auc", "Subgroup AUC", 0.0),
        area("bpsn_auc", "BPSN AUC", -0.05),
        area("bnsp_auc", "BNSP AUC", 0.08),
        audits.scalar("counterfactual_token_fairness", audits.between(0.06, 0.04, 0.08, 400), "Counterfactual token fairness gap", "The mean change in score when one identity term takes another's place."),
        swapped(),
        cases("lime/local", "LIME, by word", [text_case("never quite dull, this film is a sly and tender delight from first to last", "the surest mistake"), text_case(LONG), text_case(HOSTILE, "nearest the median score")]),
        cases("integrated_gradients/local", "Integrated gradients", [text_case(LONG)]),
        *checks("integrated_gradients"),
        cases("prototypes/local", "Nearest examples", [text_gallery()]),
    ]  # fmt: skip
    spec = audits.spec(report={"examples": True}, data={"target": "label"})
    return audits.audit([], evidence, "review", spec=spec, subject=subject("text"))


ALL = {"images": images, "texts": texts}
