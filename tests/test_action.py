"""The GitHub action and the GitLab job, run by their own lines in a folder and an environment that hold nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from junitparser import JUnitXml

from tests.cli.test_run import POLICY, SPEC
from tests.conftest import needs_sources

pytestmark = needs_sources

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = (
    yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    if (ROOT / "action.yml").is_file()
    else {}
)
GITLAB: dict[str, Any] = (
    yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8")) if (ROOT / "ci").is_dir() else {}
)
EXPRESSION = re.compile(r"\$\{\{ *([^}]*?) *\}\}")
WAIVED = SPEC.replace(
    "{{name: A small audit}}",
    "{{name: A small audit, waivers: [{{rule: ONE-01, reason: known, approver: A, expires: 2999-01-01}}]}}",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a repository holds after checkout: specs, their data and their policies."""
    folder = tmp_path / "a project"
    folder.mkdir()
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    score = np.clip(0.5 + (y - 0.5) * 0.6 + rng.normal(scale=0.2, size=400), 0, 1).round(3)
    pd.DataFrame({"score": score, "y": y, "g": rng.choice(["a", "b"], 400)}).to_csv(
        folder / "rows.csv", index=False
    )
    for name, level in (("easy", 0.5), ("hard", 0.999), ("even", 0.93)):
        (folder / f"{name}.yaml").write_text(POLICY.format(level=level))
    for name, policies in (
        ("pass", "[easy.yaml]"),
        ("fail", "[hard.yaml]"),
        ("review", "[]"),
        ("open", "[even.yaml]"),
    ):
        (folder / f"{name}-audit.yaml").write_text(SPEC.format(policies=policies))
    (folder / "waived-audit.yaml").write_text(WAIVED.format(policies="[hard.yaml]"))
    (folder / "bad-audit.yaml").write_text(
        SPEC.format(policies="[easy.yaml]").replace("accuracy", "acu::racy")
    )
    return folder


def clean(folder: Path, **more: str) -> dict[str, str]:
    """An environment as of a fresh container: a home of its own, the program on the PATH, and nothing of ours."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    # PYTHONPATH alone: where the tests run on a checkout that is not the installed one.
    kept = {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", **kept, **more}


@dataclass
class Job:
    """What a job with the action leaves behind."""

    code: int
    log: str
    summary: str
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def annotations(self) -> list[str]:
        return re.findall(r"^::(error|warning|notice) ", self.log, flags=re.MULTILINE)

    @property
    def obeyed(self) -> list[str]:
        """The workflow commands that a runner carries out: none while they are stopped."""
        found, stopped = [], None
        for line in self.log.splitlines():
            text = line.lstrip()
            if stopped is not None:
                stopped = None if text == f"::{stopped}::" else stopped
            elif text.startswith("::stop-commands::"):
                stopped = text.removeprefix("::stop-commands::")
            elif text.startswith("::"):
                found.append(text)
        return found


def act(project: Path, **given: str) -> Job:
    """The run steps of action.yml, one after the other, as a runner runs them: with inputs in the environment alone."""
    inputs = {name: str(about.get("default", "")) for name, about in ACTION["inputs"].items()}
    given = {key.replace("_", "-"): value for key, value in given.items()}
    assert set(given) <= set(inputs), given
    inputs |= {"python-version": "", "install": "none", "upload-artifact": "", **given}
    files = {name: project.parent / name for name in ("summary", "output")}
    for path in files.values():
        path.write_text("")
    steps: dict[str, dict[str, str]] = {}
    code, log = 0, ""

    def value(expression: str) -> str:
        section, _, rest = expression.partition(".")
        if section == "inputs":
            return inputs[rest]
        step, _, name = rest.partition(".outputs.")
        return steps.get(step, {}).get(name, "")

    def asked(condition: str) -> bool:
        parts = [part.strip() for part in condition.split("&&")]
        if code and "always()" not in parts:
            return False
        for part in parts:
            if part != "always()":
                left, sign, right = re.fullmatch(r"(\S+) (==|!=) '([^']*)'", part).groups()
                if (value(left) == right) != (sign == "=="):
                    return False
        return True

    for step in ACTION["runs"]["steps"]:
        if not asked(step.get("if", "success")) if "if" in step else code:
            continue
        if "uses" in step:
            log += f"uses {step['uses']}\n"
            continue
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        environment = {
            name: EXPRESSION.sub(lambda match: value(match.group(1)), text)
            for name, text in step.get("env", {}).items()
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
            env=clean(
                project, GITHUB_ACTIONS="true", GITHUB_ACTION_PATH=str(ROOT), GITHUB_STEP_SUMMARY=str(files["summary"]),
                GITHUB_OUTPUT=str(files["output"]), **environment,
            ),
        )  # fmt: skip
        log += done.stdout
        code = code or done.returncode
        if "id" in step:
            pairs = [line.partition("=") for line in files["output"].read_text().splitlines()]
            steps[step["id"]] = {key: told for key, _, told in pairs}
    outputs = {
        name: EXPRESSION.sub(lambda match: value(match.group(1)), about["value"])
        for name, about in ACTION["outputs"].items()
    }
    return Job(code, log, files["summary"].read_text(), outputs)


# ---------------------------------------------------------------------------------------------- GitHub
def test_a_passing_audit_passes_the_build(project: Path) -> None:
    done = act(project, spec="pass-audit.yaml")
    assert done.code == 0, done.log
    assert done.outputs["outcome"] == "pass"
    assert done.outputs["exit-code"] == "0"
    assert done.summary.startswith("# A small audit: pass\n")
    assert done.annotations == []
    for name in ("audit", "report-html", "summary", "sarif", "junit"):
        assert (project / done.outputs[name]).is_file(), name
    assert done.outputs["report-pdf"] == ""  # the spec asks for html alone


def test_a_failing_audit_fails_the_build_with_the_summary_written(project: Path) -> None:
    done = act(project, spec="fail-audit.yaml")
    assert done.code == 1, done.log
    assert (done.outputs["outcome"], done.outputs["exit-code"]) == ("fail", "1")
    assert done.summary.startswith("# A small audit: fail\n")
    assert "Accuracy is high enough (ONE-01)" in done.summary
    assert done.annotations == ["error"]
    line = (project / "fail-audit.yaml").read_text().splitlines().index("metrics: [accuracy, roc_auc]") + 1
    assert (
        f"::error file=fail-audit.yaml,line={line},col=11,title=ONE-01%3A Accuracy is high enough::"
        in done.log
    )
    (result,) = json.loads((project / done.outputs["sarif"]).read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == line
    report = JUnitXml.fromfile(str(project / done.outputs["junit"]))
    assert (report.failures, report.errors) == (2, 0)


@pytest.mark.parametrize(
    ("spec", "fail_on", "code", "outcome"),
    [
        ("review", "review", 3, "review"),
        ("open", "fail", 0, "review"),
        ("fail", "fail", 1, "fail"),
        ("fail", "never", 0, "fail"),
        ("bad", "never", 2, "error"),
        ("gone", "fail", 4, "error"),
    ],
)
def test_what_fails_the_build_is_decided_by_an_input(
    project: Path, spec: str, fail_on: str, code: int, outcome: str
) -> None:
    done = act(project, spec=f"{spec}-audit.yaml", fail_on=fail_on)
    assert (done.code, done.outputs["outcome"]) == (code, outcome), done.log
    assert done.summary.startswith("# ")


def test_an_audit_that_cannot_run_says_why(project: Path) -> None:
    done = act(project, spec="bad-audit.yaml")
    assert done.code == 2
    assert "    bad-audit.yaml:5:11: no metric named 'acu::racy'" in done.summary
    assert done.outputs["exit-code"] == "2"
    (told,) = [line for line in done.obeyed if line.startswith("::error")]
    assert told.startswith("::error title=xai-audit::bad-audit.yaml:5:11: ")
    assert not (project / "out").exists()


def test_another_policy_judges(project: Path) -> None:
    done = act(project, spec="pass-audit.yaml", policy="hard.yaml\n")
    assert (done.code, done.outputs["outcome"]) == (1, "fail")
    assert "A small audit: fail" in done.summary
    assert json.loads((project / "out" / "audit.json").read_text())["outcome"] == "pass"
    # The verdict on the screen is the gate's.
    assert "FAIL  A small audit" in done.log
    assert "PASS  A small audit" not in done.log


def test_further_formats_and_keys(project: Path) -> None:
    done = act(project, spec="pass-audit.yaml", formats="badge, json sarif *", output="made/here/")
    assert done.code == 2
    assert "--format *: not available in this version" in done.log
    done = act(
        project,
        spec="pass-audit.yaml",
        formats="badge, json sarif",
        output="made/here/",
        set="model.threshold=0.4\n",
    )
    assert done.code == 0, done.log
    assert {path.name for path in (project / "made" / "here-gate").iterdir()} == {
        "summary.md", "annotations.txt", "results.sarif", "junit.xml", "badge.svg", "verdict.json",
    }  # fmt: skip
    made = json.loads((project / "made" / "here" / "audit.json").read_text())
    assert made["spec"]["overrides"] == {"model.threshold": 0.4}


def test_a_waived_result_raises_no_alert(project: Path) -> None:
    done = act(project, spec="waived-audit.yaml", fail_on="fail", upload_sarif="true")
    assert done.code == 0, done.log
    # Code scanning does not read suppressions; what it is handed holds none. The file of the audit itself does.
    (run,) = json.loads((project / done.outputs["sarif"]).read_text())["runs"]
    assert run["results"] == []
    assert "uses github/codeql-action/upload-sarif@" in done.log


def test_uploads_come_when_the_audit_failed_and_hold_no_rows(project: Path) -> None:
    done = act(project, spec="fail-audit.yaml", upload_artifact="reports", upload_sarif="true")
    assert done.code == 1
    assert re.findall(r"^uses (\S+)@", done.log, flags=re.MULTILINE) == [
        "actions/upload-artifact", "github/codeql-action/upload-sarif",
    ]  # fmt: skip
    (upload,) = [step for step in ACTION["runs"]["steps"] if "upload-artifact" in step.get("uses", "")]
    patterns = EXPRESSION.sub(
        lambda match: "out" if "inputs" in match[1] else "out-gate", upload["with"]["path"]
    ).split()
    sent = {path.relative_to(project).as_posix() for pattern in patterns for path in project.glob(pattern)}
    assert "out/report.html" in sent
    assert "out-gate/junit.xml" in sent
    assert not [path for path in sent if "evidence" in path]
    assert not [path for path in (project / "out" / "evidence").iterdir() if "." not in path.name]


CODE = "; touch PWNED; '; touch PWNED; $(touch PWNED) `touch PWNED` && touch PWNED #"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            (name, CODE)
            for name in ("spec", "output", "policy", "set", "formats", "fail-on", "baseline", "extras")
        ),
        *(("spec", text) for text in ("-h", "x\ny", "")),
        ("output", "x\ny"),
        ("extras", "a]b"),
    ],
)
def test_inputs_are_never_code(project: Path, name: str, text: str) -> None:
    done = act(
        project, **{"spec": "pass-audit.yaml", "install": "this" if name == "extras" else "none", name: text}
    )
    assert not [path for path in project.rglob("*") if path.name == "PWNED"]
    # A folder may be called anything but two lines; nothing else of these is a value that exists.
    assert (done.code == 0) == ((name, text) == ("output", CODE)), done.log


def test_names_are_no_workflow_commands(project: Path) -> None:
    (project / "loud-audit.yaml").write_text(
        SPEC.format(policies="[hard.yaml]").replace("A small audit", '"::add-mask::pass ::error::x"')
    )
    (project / "hard.yaml").write_text(
        POLICY.format(level=0.999).replace(
            "Accuracy is high enough",
            '"::warning::%0A::error::" ' + "\n    tip: '" + "word " * 30 + "::stop-commands::x'",
        )
    )
    done = act(project, spec="loud-audit.yaml")
    assert done.code == 1
    assert [line[:8] for line in done.obeyed] == ["::error "]
    done = act(project, spec="::error::-audit.yaml")
    assert [line[:8] for line in done.obeyed] == ["::error "]


def test_a_model_that_prints_commands_is_not_obeyed(project: Path) -> None:
    import hashlib

    code = (
        "import numpy as np\n"
        "def predict(frame):\n"
        "    print('::add-mask::a\\n  ::error::planted', flush=True)\n"
        "    score = frame['score'].to_numpy(float)\n"
        "    return np.column_stack([1 - score, score])\n"
    )
    (project / "model.py").write_text(code)
    sha256 = hashlib.sha256(code.encode()).hexdigest()
    (project / "own-audit.yaml").write_text(
        SPEC.format(policies="[easy.yaml]").replace(
            "{format: predictions, score: score, positive: 1}",
            f'{{path: "model.py:predict", format: python, trust: true, sha256: {sha256}, task: classification, classes: [0, 1]}}',
        )
    )
    done = act(project, spec="own-audit.yaml")
    assert done.code in {0, 3}, done.log
    assert "::error::planted" in done.log
    assert not [line for line in done.obeyed if "planted" in line or "add-mask" in line]


def test_the_script_needs_nothing_but_the_spec(project: Path) -> None:
    # As on a desk: no runner, no summary, no outputs.
    command = ["bash", str(ROOT / "scripts" / "action.sh"), "audit"]
    environment = clean(project, XAI_AUDIT_SPEC="fail-audit.yaml")
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr == ""
    assert "FAIL  A small audit" in done.stdout


def test_without_the_program_the_install_step_says_so(project: Path) -> None:
    (step,) = [step for step in ACTION["runs"]["steps"] if step["name"] == "Install"]
    environment = {
        **clean(project),
        "PATH": "/usr/bin:/bin",
        "GITHUB_ACTION_PATH": str(ROOT),
        "XAI_AUDIT_INSTALL": "none",
    }
    done = subprocess.run(
        ["bash", "-c", step["run"]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no xai-audit on the PATH" in done.stdout


def vendored(name: str) -> Any:
    from importlib import resources

    path = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "content"), [("github-actions", ACTION), ("gitlab-ci", GITLAB)])
def test_they_are_of_their_schema(name: str, content: dict[str, Any]) -> None:
    schema = vendored(name)
    jsonschema.validators.validator_for(schema)(schema).validate(content)


def test_what_is_used_is_pinned_and_every_input_is_read() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
        for step in ACTION["runs"]["steps"]
        if "uses" in step
    )
    assert {name for name in ACTION["inputs"] if f"inputs.{name}" in text} == set(ACTION["inputs"])
    # Every variable that the script reads is set by a step, and the other way round.
    script = (ROOT / "scripts" / "action.sh").read_text(encoding="utf-8")
    handed = {name for step in ACTION["runs"]["steps"] for name in step.get("env", {})}
    assert {name for name in handed if name not in script} == {"XAI_AUDIT_SARIF"}
    assert set(re.findall(r"\bXAI_AUDIT_[A-Z_]+\b", script)) <= handed


# ---------------------------------------------------------------------------------------------- GitLab
def gitlab(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script of the job, joined as a runner joins it."""
    job = {**GITLAB[".xai-audit"], **GITLAB["xai-audit"]}
    assert GITLAB["xai-audit"]["extends"] == ".xai-audit"
    given = {**job["variables"], **variables}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])], cwd=project, env=clean(project, GITLAB_CI="true", **given),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(("spec", "code"), [("pass", 0), ("fail", 1), ("review", 3), ("bad", 2), ("gone", 4)])
def test_the_gitlab_job_exits_as_the_gate(project: Path, spec: str, code: int) -> None:
    done = gitlab(project, XAI_AUDIT_SPEC=f"{spec}-audit.yaml")
    assert done.returncode == code, done.stdout + done.stderr
    job = GITLAB[".xai-audit"]
    # Review passes with a warning; nothing else that is not 0 does.
    assert job["allow_failure"] == {"exit_codes": [3]}
    if code in {0, 1, 3}:
        for path in job["artifacts"]["reports"].values():
            assert (project / path).is_file(), path
        issues = json.loads((project / job["artifacts"]["reports"]["codequality"]).read_text())
        assert [one["severity"] for one in issues] == (["blocker"] if code == 1 else [])
        report = JUnitXml.fromfile(str(project / job["artifacts"]["reports"]["junit"]))
        assert (report.failures + report.errors > 0) == (code != 0)
        assert (project / "xai-audit-gate" / "summary.md").read_text().startswith("# A small audit: ")
    else:
        assert "bad-audit.yaml:5:11" in done.stderr or "gone-audit.yaml" in done.stderr
    assert job["artifacts"]["when"] == "always"
    assert not [
        path for path in job["artifacts"]["paths"] if path.rstrip("/") in {"xai-audit", "xai-audit/evidence"}
    ]


def test_the_gitlab_job_takes_another_policy_and_no_code(project: Path) -> None:
    assert gitlab(project, XAI_AUDIT_SPEC="pass-audit.yaml", XAI_AUDIT_POLICY="hard.yaml").returncode == 1
    assert gitlab(project, XAI_AUDIT_SPEC="$(touch PWNED)").returncode == 4
    assert gitlab(
        project, XAI_AUDIT_SPEC="pass-audit.yaml", XAI_AUDIT_POLICY="a b; touch PWNED"
    ).returncode in {2, 4}
    assert not (project / "PWNED").exists()
