"""The names that users type and read: they are added to, never renamed or dropped."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import xai_audit
from xai_audit.audit import SCHEMA
from xai_audit.catalog import methods
from xai_audit.cli import COMMANDS, LATER, main
from xai_audit.evidence import LEVELS
from xai_audit.judge import exit_code
from xai_audit.loaders import DATA, MODELS
from xai_audit.reading import shipped
from xai_audit.render import FILES

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

METRICS = [
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "log_loss",
    "brier_score",
    "matthews_corrcoef",
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2",
    "expected_calibration_error",
    "true_positive_rate",
    "true_negative_rate",
    "false_positive_rate",
    "false_negative_rate",
    "negative_predictive_value",
    "false_discovery_rate",
    "false_omission_rate",
    "prevalence",
    "predicted_positive_share",
    "selection_rate",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equal_opportunity_difference",
    "false_positive_rate_difference",
    "equalized_odds_difference",
    "equalized_odds_sum",
    "predictive_parity_difference",
    "calibration_gap",
    "abroca",
]
EXPLAINERS = ["shap", "lime", "permutation_importance", "partial_dependence"]
CHECKS = [
    "train_test_overlap",
    "invalid_labels",
    "target_leak",
    "artefact_safety",
    "protected_flip_rate",
    "unusual_input_failures",
    "baseline_improvement",
]


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_the_contract(name: str) -> None:
    assert methods()[name].kind == "metric"
    assert methods()[name].selectable


@pytest.mark.parametrize("name", EXPLAINERS)
def test_explainers(name: str) -> None:
    assert methods()[name].kind == "explainer"


@pytest.mark.parametrize("name", CHECKS)
def test_checks_that_every_audit_makes_cannot_be_named(name: str) -> None:
    assert not methods()[name].selectable


def test_commands() -> None:
    built = {
        *("init", "check", "run", "freeze", "gate", "compare", "sign", "verify", "render", "attach", "list"),
        *("schema", "view", "doctor", "neurons"),
    }
    assert built <= set(COMMANDS)
    assert built | set(LATER) >= {"plan", "compare", "verify", "attach", "explain", "neurons", "selftest"}
    assert not set(COMMANDS) & set(LATER)


def test_formats_policies_and_files() -> None:
    assert set(MODELS) >= {
        "skops",
        "joblib",
        "pickle",
        "xgboost",
        "lightgbm",
        "onnx",
        "python",
        "predictions",
    }
    assert set(DATA) >= {"csv", "parquet", "arrow", "jsonl", "npz", "sklearn"}
    assert set(shipped()) >= {"eu-ai-act", "research"}
    assert {"html": "report.html", "pdf": "report.pdf", "summary": "summary.md"}.items() <= FILES.items()


def test_the_shape_of_an_audit_has_a_name_and_its_limits_have_levels() -> None:
    assert SCHEMA == "xai-audit/audit/1"
    assert LEVELS == ("0.9", "0.95", "0.99", "0.995", "0.998", "0.999", "0.9995", "0.9999")


def test_exit_codes_of_outcomes() -> None:
    assert [exit_code(outcome) for outcome in ("pass", "fail", "review", "error")] == [0, 1, 3, 4]


def test_one_version() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "xai_audit", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert xai_audit.__version__ == PROJECT["version"] == metadata.version("xai-audit")
    assert told == f"xai-audit {xai_audit.__version__}\n"


def test_entry_points() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="xai-audit")
    assert script.load() is main
    # Plug-ins come by this group; ours stand in tables.
    assert "xai_audit.methods" in PROJECT["entry-points"]
    assert not [
        entry
        for entry in metadata.entry_points(group="xai_audit.methods")
        if entry.dist and entry.dist.name == "xai-audit"
    ]


def test_the_package_itself_holds_public_names_alone() -> None:
    public = {name for name in vars(xai_audit) if not name.startswith("_")}
    modules = {name for name in public if type(vars(xai_audit)[name]) is type(sys)}
    assert public - modules <= set(getattr(xai_audit, "__all__", ()))
