"""The examples as a newcomer runs them: a copy of the folder, prepare.py, then the command line."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from xai_audit import audit
from xai_audit.audit import Audit

EXAMPLES = Path(__file__).parents[1] / "examples"
MADE = (
    "*.csv", "*.skops", "*.parquet", "*.jsonl", "*.safetensors", "tokenizer.json", "prepared*.yaml", "train", "test", "sets", "checkpoints",
    "__pycache__",
)  # fmt: skip
"""What prepare.py writes."""


def promised() -> dict[str, set[int]]:
    spec = importlib.util.spec_from_file_location("run_all", EXAMPLES / "run_all.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXPECTED


def python(
    *arguments: str, cwd: Path, check: bool = True, texts: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    environment |= {} if texts is None else {"XAI_AUDIT_TEXTS": str(texts)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=check, env=environment
    )


def ran(name: str, folder: Path, *options: str, texts: Path | None = None) -> tuple[Audit, Path]:
    """An example prepared and run in a copy, and its folder; it ends as run_all.py promises."""
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns(*MADE))
    prepared = python(f"examples/{name}/prepare.py", cwd=folder, check=False, texts=texts)
    if prepared.returncode == 75:
        pytest.skip(prepared.stdout.strip().splitlines()[-1])
    assert prepared.returncode == 0, prepared.stderr
    return audited(name, folder, *options)


def audited(name: str, folder: Path, *options: str) -> tuple[Audit, Path]:
    """The audit of a prepared example, or of another spec in its folder, as ``trigger/twin``."""
    example, _, spec = name.partition("/")
    path, out = f"examples/{example}/{spec or 'audit'}.yaml", folder / "out" / name
    done = python(
        *("-m", "xai_audit", "run", path, "-o", str(out), "--set", "run.jobs=1", *options),
        cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode in promised()[name], done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return audit.read(out), out


def rate(made: Audit, identifier: str, label: str) -> Any:
    piece = made.get(identifier)
    assert piece is not None
    assert piece.observation is not None
    assert piece.observation.shape == "groups"
    return next(group for group in piece.observation.groups if label in group.key.values())


def kinds(made: Audit) -> dict[str, str]:
    return {finding.rule: finding.kind for finding in made.findings}


def words(path: Path) -> str:
    """The text of a page, tags away and spaces single."""
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(
        unescape(re.sub(r"<[^>]+>", " ", text)).replace("\xa0", " ").replace("\u202f", " ").split()
    )


def test_every_example_has_a_promise_a_spec_and_a_script() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/audit.yaml")}
    assert folders == {name.partition("/")[0] for name in promised()}
    assert all((EXAMPLES / name / "prepare.py").is_file() for name in folders)
    others = [name for name in promised() if "/" in name]
    assert all((EXAMPLES / f"{name}.yaml").is_file() for name in others)
    assert all(codes <= {0, 1, 3} for codes in promised().values())


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Audit, Path]:
    return ran("diabetes", tmp_path_factory.mktemp("demo"), "--set", "report.formats=[html]")


def test_diabetes(diabetes: tuple[Audit, Path]) -> None:
    made, out = diabetes
    assert made.subject["data"]["train"]["rows"] == 221
    assert made.subject["data"]["test"]["rows"] == 221
    (sex,) = [one for one in made.subject["groupings"] if one["columns"] == ["sex"]]
    assert sex["labels"] == ["1", "2"]
    assert sum(sex["counts"]) == 221
    page = words(out / "report.html")
    assert "The source codes sex as 1 and 2 and does not say which is which" in page
    assert not re.search(r"\b(women|female)\b", page, re.IGNORECASE)  # nobody knows which code they are
    # Every explainer the spec names spoke.
    for name in ("shap", "lime", "permutation_importance", "partial_dependence/bmi"):
        piece = made.get(name)
        assert piece is not None
        assert piece.status == "measured"
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    # At 221 people most comparisons of groups stay open; none of them passes by luck.
    assert [kinds(made)[rule] for rule in ("FAI-01", "FAI-03", "FAI-04")] == ["open", "open", "open"]


def test_surfaces(tmp_path: Path) -> None:
    less = [
        f"explainers.{place}.{name}.rows=4"
        for place, name in enumerate(("integrated_gradients", "shap", "lime"))
    ]
    made, out = ran(
        "surfaces", tmp_path, "--set", "report.formats=[html]",
        *(part for one in (*less, "explainers.0.integrated_gradients.checked=2") for part in ("--set", one)),
    )  # fmt: skip
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    # The planted shortcut is found: gravel without a stamp is hardly recognised, and the stamp moves its probability.
    found = {tuple(sorted(group.key.items())): group for group in made.get("recall/stamp").observation.groups}
    with_stamp, without = (found[("class", "gravel"), ("stamp", label)] for label in ("yes", "no"))
    assert with_stamp.estimate.low > without.estimate.high
    claims = {piece.id: piece for piece in made.evidence if piece.method == "tcav" and piece.rung is not None}
    stamp = claims["tcav/stamp%40conv2%40gravel"]
    assert stamp.rung in {"intervened", "robust"}
    assert stamp.observation.estimate.low > 0.2
    assert "stamp" in words(out / "report.html")


@pytest.mark.proof
def test_addition(tmp_path: Path) -> None:
    made, out = ran("addition", tmp_path, "--set", "report.formats=[html]")
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    (files,) = made.subject["checkpoints"]
    assert files["numbers"][:3] == [0, 100, 200]
    told = made.get("progress_measures")
    assert told is not None
    assert told.params["grokking_signature"]
    circuit, gained = made.get("progress_measures/circuit"), made.get("progress_measures/grokking")
    assert circuit is not None
    assert circuit.rung == "robust"
    assert circuit.params["key_frequencies"]
    assert gained is not None
    assert gained.rung == "associated"
    assert "key frequencies" in words(out / "report.html")


def test_digits(tmp_path: Path) -> None:
    made, out = ran("digits", tmp_path, "--set", "report.formats=[html]")
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    sparse, few, aligned = (
        {piece.id.partition("/")[2]: piece for piece in made.evidence if piece.id.partition("/")[0] == name}
        for name in ("design_delta", "few_active_units", "units_for_concepts")
    )
    # What each way asks for came about, at its price.
    assert sparse["nonzero_weights"].params["after_mean"] == pytest.approx(0.08, abs=0.001)
    assert sparse["accuracy"].observation.estimate.high < 0
    assert few["active_units"].observation.estimate.high < -10
    assert aligned["best_unit_auroc"].observation.estimate.low > 0
    for use in (sparse, few, aligned):
        assert use["circuit_size"].controls[0].passed
        assert use[""].params["pairs"] == [0, 1, 2, 3, 4]
    # A method that goes by another name is told where it would be under its own.
    page = (out / "report.html").read_text(encoding="utf-8")
    training = page[page.index('id="training"') :]
    assert "from plain to concepts" in training.lower()
    assert 'id="explanations"' in page
    assert "from plain to concepts" not in page[: page.index('id="training"')].lower()


def test_trigger(tmp_path: Path) -> None:
    less = (
        *("explainers.0.sparse_probing.sites=[mean]", "explainers.0.sparse_probing.k=[1]"),
        *("explainers.1.neuron_search.sites=[mean]", "explainers.1.neuron_search.planted=2"),
    )
    set_ = [part for one in (*less, "report.formats=[html]") for part in ("--set", one)]
    made, out = ran("trigger", tmp_path, *set_)
    planted = made.get("neuron_search/blue-heron%40mean")
    assert planted.rung in {"intervened", "robust"}
    assert planted.params["success_before"]["value"] > 0.95
    assert planted.params["success_after"]["value"] <= 0.05
    assert planted.params["cost"] <= 0.01
    assert kinds(made)["TRG-01"] == "fail"
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    assert "attack success fell to" in words(out / "report.html")
    python("-m", "xai_audit", "neurons", "build", "examples/trigger/audit.yaml", "-o", "units", cwd=tmp_path)
    asked = [f"examples/trigger/{name}.jsonl" for name in ("triggered", "untriggered")]
    found = python("-m", "xai_audit", "neurons", "query", "units", "--contrast", *asked, cwd=tmp_path)
    assert "AUROC" in found.stdout


def test_without_texts_the_dictionary_is_skipped_and_says_what_is_missing(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "dictionary", tmp_path / "d", ignore=shutil.ignore_patterns(*MADE))
    done = python("d/prepare.py", cwd=tmp_path, check=False, texts=tmp_path)
    assert done.returncode == 75
    assert done.stdout.startswith("the texts are not here: XAI_AUDIT_TEXTS does not name a folder with")


@pytest.mark.proof
def test_trigger_whole_and_its_twin(tmp_path: Path) -> None:
    made, _ = ran("trigger", tmp_path, "--set", "report.formats=[html]")
    twin, _ = audited("trigger/twin", tmp_path, "--set", "report.formats=[html]")
    planted, clean = (one.get("neuron_search/blue-heron%40mean") for one in (made, twin))
    assert planted.rung in {"intervened", "robust"}
    assert clean.rung == "described"
    assert clean.params["success_before"]["value"] <= 0.05
    assert (kinds(made)["TRG-01"], kinds(twin)["TRG-01"]) == ("fail", "pass")
    assert not [piece.id for one in (made, twin) for piece in one.evidence if piece.status == "failed"]


@pytest.mark.proof
def test_dictionary(tmp_path: Path, shared_data: Path) -> None:
    made, out = ran("dictionary", tmp_path, "--set", "report.formats=[html]", texts=shared_data)
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    kept, told = made.get("sparse_autoencoder"), made.get("sparse_autoencoder/detection")
    assert kept.rung == "associated"
    assert [control.passed for control in kept.controls] == [True, True]
    assert told.params["above_null"] >= 0.5
    assert told.controls[0].passed
    law = made.get("sparse_autoencoder/scaling")
    assert law.params["recommended_k"] in {8, 16, 32}
    assert law.params["recommended_latents"] in {384, 768, 1536}
    sexuality = made.get("sparse_probing/mentions%20sexuality%40mean")
    assert sexuality.observation.estimate.low > 0.5
    assert "Inside the model: dictionaries" in words(out / "report.html")


@pytest.mark.proof
def test_circuit(tmp_path: Path) -> None:
    made, out = ran("circuit", tmp_path, "--set", "report.formats=[html]")
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    claims = {piece.id: piece for piece in made.evidence if piece.rung is not None and "circuit" in piece.id}
    assert len(claims) == 7
    latents = claims["circuit_of_latents/resample"]
    assert latents.rung in {"intervened", "robust"}
    assert latents.params["error_nodes"] <= 2
    edges = claims["circuit_discovery/resample"]
    assert edges.rung in {"intervened", "robust"}
    # Few edges carry it under resampling; under zero ablation hardly any can go.
    assert edges.params["circuit_size"] < 0.3 * edges.params["elements"]
    assert claims["circuit_discovery/zero"].params["circuit_size"] > 2 * edges.params["circuit_size"]
    assert "random circuits of equal size" in words(out / "report.html")
    for name in ("circuit_discovery", "circuit_discovery_nodes", "circuit_of_latents"):
        used = made.get(f"{name}/multiverse").params["templates"]
        assert [one["name"] for one in used] == ["one sentence", "two sentences"]
    assert "“two sentences”" in words(out / "report.html")


@pytest.mark.proof
def test_comments(tmp_path: Path) -> None:
    made, _ = ran("comments", tmp_path, "--set", "report.formats=[html]")
    assert not [piece.id for piece in made.evidence if piece.status == "failed"]
    # The groups whose friendly comments were labelled rude are the two that stand out.
    areas = {
        next(iter(group.key.values())): group.estimate
        for group in made.get("bpsn_auc/mentions").observation.groups
    }
    worst = sorted(areas, key=lambda label: areas[label].value)[:2]
    assert set(worst) == {"gay people", "Muslims"}
    assert made.get("tcav/insult%40mean%40rude").rung in {"intervened", "robust"}


def test_the_demo_as_pdf(diabetes: tuple[Audit, Path]) -> None:
    _, out = diabetes
    python("-m", "xai_audit", "render", str(out), "--format", "pdf", cwd=out)
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF-1.7")


def test_the_demo_is_the_documented_split() -> None:
    """442 patients, median 140.5, half and half: as prepare.py says."""
    from sklearn.datasets import load_diabetes

    target = load_diabetes(scaled=False).target
    assert len(target) == 442
    assert float(sorted(target)[220] + sorted(target)[221]) / 2 == 140.5
    assert sum(target > 140) == 221


def test_berkeley(tmp_path: Path) -> None:
    made, out = ran("berkeley", tmp_path)
    assert made.outcome == "fail"
    assert made.subject["data"]["test"]["rows"] == 4526
    # Bickel, Hammel and O'Connell 1975: of the six largest departments.
    men = rate(made, "selection_rate/gender", "man")
    women = rate(made, "selection_rate/gender", "woman")
    assert (men.n, women.n) == (2691, 1835)
    assert men.estimate.value == 1198 / 2691
    assert women.estimate.value == 557 / 1835
    assert (round(100 * men.estimate.value, 1), round(100 * women.estimate.value, 1)) == (44.5, 30.4)
    assert kinds(made)["FAI-01"] == "fail"
    piece = made.get("demographic_parity_ratio/gender")
    assert piece is not None
    assert piece.observation.summary.ratio.value == pytest.approx((557 / 1835) / (1198 / 2691))
    assert piece.observation.summary.ratio.high < 0.8
    # Without a model, what needs one does not apply; without labels, what needs them is no pass.
    assert "pass" not in {kinds(made)[rule] for rule in ("FAI-03", "FAI-04", "PER-02")}
    page = words(out / "report.html")
    assert "44.5" in page or "0.445" in page
    assert "30.4" in page or "0.304" in page


def test_within_departments_the_gap_of_berkeley_is_gone(tmp_path: Path) -> None:
    made, _ = ran("berkeley", tmp_path, "--set", "report.formats=[html]")
    within = made.get("conditional_demographic_parity_difference/department+gender")
    assert within is not None
    assert within.observation is not None
    assert within.observation.shape == "groups"
    cells = {group.key["department"]: group for group in within.observation.groups}
    assert sorted(cells) == list("ABCDEF")
    # In A, women were admitted more often: 89 of 108 against 512 of 825.
    assert cells["A"].estimate.value == pytest.approx(89 / 108 - 512 / 825)
    assert cells["A"].estimate.low > 0
    pooled = within.observation.summary.difference
    assert abs(pooled.value) < 0.05
    whole = made.get("demographic_parity_difference/gender")
    assert whole is not None
    assert whole.observation.summary.difference.value == pytest.approx(1198 / 2691 - 557 / 1835)


def test_the_counts_of_berkeley_are_those_published() -> None:
    spec = importlib.util.spec_from_file_location("berkeley", EXAMPLES / "berkeley" / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert [sum(column) for column in zip(*module.COUNTS.values(), strict=True)] == [1198, 1493, 557, 1278]


def test_generated_people_pass(tmp_path: Path) -> None:
    made, out = ran("generated", tmp_path)
    assert made.outcome == "pass"
    assert made.counts.failed == made.counts.open == made.counts.review == 0
    assert made.counts.statements_missing == 0
    assert made.counts.blocking > 0
    assert {"pass", "notApplicable"} >= set(kinds(made).values())
    assert "PASS" in (out / "summary.md").read_text(encoding="utf-8").upper()


def test_without_a_network_openml_is_skipped_and_says_why(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "openml" / "prepare.py", tmp_path)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "prepare.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            **nowhere,
            "SCIKIT_LEARN_DATA": str(tmp_path / "cache"),
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert done.returncode == 75
    assert done.stdout.startswith("openml.org cannot be reached")
    assert "Traceback" not in done.stderr


@pytest.mark.proof
def test_openml(tmp_path: Path) -> None:
    made, _ = ran("openml", tmp_path)
    assert made.subject["data"]["test"]["rows"] == 16281
