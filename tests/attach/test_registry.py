"""An audit on model versions of a real MLflow server."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.render import audits
from xai_audit import audit, digest
from xai_audit.attach import registry
from xai_audit.attach.registry import Target
from xai_audit.cli import entry
from xai_audit.errors import UnavailableError

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
pytestmark = pytest.mark.filterwarnings("ignore")
NUMBERS = itertools.count(1)


@dataclass
class Desk:
    """A registry, and a folder to make models and audits in."""

    client: Any
    folder: Path

    def model(self, content: str = "weights") -> Path:
        """A model folder as MLflow lays one out."""
        place = self.folder / f"model-{next(NUMBERS)}"
        place.mkdir()
        (place / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.skops\n")
        (place / "model.skops").write_text(content)
        return place

    def version(self, name: str, model: Path, *, run: bool = True) -> str:
        """The model as a new version of a registered model: an artefact of a run, or a logged model without one."""
        experiment = self.client.get_experiment_by_name("training")
        number = experiment.experiment_id if experiment else self.client.create_experiment("training")
        if not self.client.search_registered_models(f"name='{name}'"):
            self.client.create_registered_model(name)
        if not run:
            logged = self.client.create_logged_model(number).model_id
            self.client.log_model_artifacts(logged, str(model))
            self.client.finalize_logged_model(logged, "READY")
            return str(self.client.create_model_version(name, f"models:/{logged}", model_id=logged).version)
        made = self.client.create_run(number).info.run_id
        self.client.log_artifacts(made, str(model), "model")
        return str(self.client.create_model_version(name, f"runs:/{made}/model", made).version)

    def audit(self, sha256: str | None, outcome: str, reason: str = "") -> Path:
        """An audit's folder with its reports, of the model with this digest."""
        place = self.folder / f"out-{next(NUMBERS)}"
        shutil.copytree(GOLDEN, place)
        made = audit.read(place)
        model = None if sha256 is None else {**made.subject["model"], "sha256": sha256}
        about = {**made.subject, "model": model}
        made = made.model_copy(update={"subject": about, "outcome": outcome, "reasons": (reason,)})
        audit.write(place / "audit.json", made.to_json().encode())
        # Drawing pages vouches for nothing else, so the manifest of what was changed here is made anew.
        (place / "manifest.json").unlink(missing_ok=True)
        assert entry(["render", str(place), "--format", "summary", "--format", "html"]) == 0
        return place

    def seen(self, name: str, number: str) -> Any:
        return self.client.get_model_version(name, number)

    def aliases(self, name: str) -> dict[str, str]:
        return {
            alias: str(number) for alias, number in self.client.get_registered_model(name).aliases.items()
        }


@pytest.fixture
def desk(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    return Desk(MlflowClient(tracking_uri=server), tmp_path)


@pytest.fixture
def name() -> str:
    return f"credit scorer {next(NUMBERS)}"


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_pass_can_be_read_by_a_deployment(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    desk.client.set_model_version_tag(name, number, "owner", "risk team")
    desk.client.set_registered_model_alias(name, "champion", number)
    out = desk.audit(digest.of_folder(model), "pass")
    capsys.readouterr()
    assert entry(["attach", str(out), f"mlflow:{name}/{number}"]) == 0
    assert "the audited model is the folder" in told(capsys)

    # What a pipeline does: the version that the alias names, and its gate.
    version = desk.client.get_model_version_by_alias(name, "audit-pass")
    assert str(version.version) == number
    assert version.tags["xai_audit.outcome"] == "pass"
    assert version.tags["xai_audit.model_sha256"] == digest.of_folder(model)
    assert version.tags["xai_audit.audit_sha256"] == digest.of_file(out / "audit.json")
    assert version.tags["xai_audit.policy"] == "eu-ai-act 1"
    assert version.tags["xai_audit.finished"] == "2026-11-23T17:01:06+00:00"
    assert version.tags["owner"] == "risk team"
    assert desk.aliases(name) == {"champion": number, "audit-pass": number}

    # What an auditor does: the report, as it lies in the folder, and nothing of people's rows.
    run, place = version.tags["xai_audit.report"].removeprefix("runs:/").split("/", 1)
    assert run == version.run_id
    got = Path(desk.client.download_artifacts(run, place, str(desk.folder)))
    found = {path.relative_to(got).as_posix(): path.read_bytes() for path in got.rglob("*") if path.is_file()}
    assert set(found) == {"audit.json", "manifest.json", "report.html", "summary.md"}
    assert all((out / path).read_bytes() == content for path, content in found.items())


def test_a_second_time_changes_nothing(desk: Desk, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = desk.model()
    number = desk.version(name, model)
    out = desk.audit(digest.of_folder(model), "pass")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    before = desk.seen(name, number)
    capsys.readouterr()
    assert entry(["attach", str(out), f"mlflow:{name}@audit-pass"]) == 0
    assert f"mlflow:{name}/{number}: nothing to change, outcome pass\n" in told(capsys)
    after = desk.seen(name, number)
    assert (after.tags, after.last_updated_timestamp) == (before.tags, before.last_updated_timestamp)
    assert len(desk.client.list_artifacts(after.run_id, "xai-audit")) == 1
    assert entry(["attach", str(out), f"mlflow:{name}/{number}", "--check"]) == 0
    assert told(capsys) == f"mlflow:{name}/{number}: holds, outcome pass\n"


def test_a_newer_audit_that_fails_takes_the_alias_away(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    passed, failed = (desk.audit(digest.of_folder(model), outcome) for outcome in ("pass", "fail"))
    assert entry(["attach", str(passed), f"mlflow:{name}"]) == 0
    assert entry(["attach", str(failed), f"mlflow:{name}"]) == 0
    assert desk.aliases(name) == {}
    tags = desk.seen(name, number).tags
    assert tags["xai_audit.outcome"] == "fail"
    assert tags["xai_audit.audit_sha256"] == digest.of_file(failed / "audit.json")
    capsys.readouterr()
    assert entry(["attach", str(failed), f"mlflow:{name}", "--check"]) == 0
    assert entry(["attach", str(passed), f"mlflow:{name}", "--check"]) == 1
    said = told(capsys)
    assert "the tag xai_audit.outcome is fail, not pass" in said
    assert f"the alias {registry.ALIAS} does not stand on it" in said
    # Review passes no gate either, and back to a pass the alias comes back.
    assert entry(["attach", str(desk.audit(digest.of_folder(model), "review")), f"mlflow:{name}"]) == 0
    assert desk.aliases(name) == {}
    assert entry(["attach", str(passed), f"mlflow:{name}"]) == 0
    assert desk.aliases(name) == {"audit-pass": number}


def test_another_models_audit_is_refused(desk: Desk, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = desk.version(name, desk.model("other weights"))
    out = desk.audit(digest.of_folder(desk.model()), "pass")
    before = desk.seen(name, number)
    assert entry(["attach", str(out), f"mlflow:{name}/{number}"]) == 4
    said = capsys.readouterr().err
    assert "none of its files is the audited model" in said
    assert said.count("\n") == 1
    assert desk.seen(name, number).tags == before.tags == {}
    assert desk.aliases(name) == {}
    assert not desk.client.list_artifacts(before.run_id, "xai-audit")
    assert entry(["attach", str(out), f"mlflow:{name}/{number}", "--check"]) == 1
    assert "none of its files is the audited model" in told(capsys)


def test_weights_that_were_exchanged_are_found_by_check(
    desk: Desk, name: str, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    out = desk.audit(digest.of_folder(model), "pass")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    changed = desk.folder / "model.skops"
    changed.write_text("weights of somebody else")
    desk.client.log_artifact(desk.seen(name, number).run_id, str(changed), "model")
    capsys.readouterr()
    assert entry(["attach", str(out), f"mlflow:{name}", "--check"]) == 1
    said = told(capsys)
    assert "none of its files is the audited model" in said
    assert "the alias audit-pass stands on it" in said


def test_a_report_that_was_exchanged_is_found_by_check_and_sent_again(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    out = desk.audit(digest.of_folder(model), "pass")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    version = desk.seen(name, number)
    place = version.tags["xai_audit.report"].split("/", 2)[2]
    forged = desk.folder / "report.html"
    forged.write_text("all is well")
    desk.client.log_artifact(version.run_id, str(forged), place)
    desk.client.set_model_version_tag(name, number, "xai_audit.outcome", "review")
    capsys.readouterr()
    assert entry(["attach", str(out), f"mlflow:{name}", "--check"]) == 1
    assert told(capsys).splitlines() == [
        f"mlflow:{name}/{number}: the tag xai_audit.outcome is review, not pass",
        f"mlflow:{name}/{number}: report.html at {version.tags['xai_audit.report']} is not the folder's",
    ]
    desk.client.delete_model_version_tag(name, number, "xai_audit.files_sha256")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    assert entry(["attach", str(out), f"mlflow:{name}", "--check"]) == 0


def test_the_audited_file_inside_the_folder_is_named(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    out = desk.audit(digest.of_file(model / "model.skops"), "pass")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    assert "the audited model is the file model.skops" in told(capsys)
    assert desk.seen(name, number).tags["xai_audit.model_files"] == "the file model.skops"
    assert desk.aliases(name) == {"audit-pass": number}


def test_a_version_without_a_run_gets_one(
    desk: Desk, name: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server is named on the command line alone.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    uri = ["--tracking-uri", server]
    model = desk.model()
    number = desk.version(name, model, run=False)
    assert not desk.seen(name, number).run_id
    out = desk.audit(digest.of_folder(model), "pass")
    assert entry(["attach", str(out), f"mlflow:{name}", *uri]) == 0
    tags = desk.seen(name, number).tags
    run = desk.client.get_run(tags["xai_audit.run_id"])
    assert run.info.status == "FINISHED"
    assert desk.client.get_experiment(run.info.experiment_id).name == "xai-audit"
    runs = len(desk.client.search_runs([run.info.experiment_id]))
    for folder in (out, desk.audit(digest.of_folder(model), "fail")):
        assert entry(["attach", str(folder), f"mlflow:{name}", *uri]) == 0
        assert entry(["attach", str(folder), f"mlflow:{name}", "--check", *uri]) == 0
    assert len(desk.client.search_runs([run.info.experiment_id])) == runs


def test_the_alias_never_goes_back_to_an_older_version(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [desk.model("one"), desk.model("two")]
    first, second = (desk.version(name, model) for model in models)
    outs = [desk.audit(digest.of_folder(model), "pass") for model in models]
    assert entry(["attach", str(outs[0]), f"mlflow:{name}/{first}"]) == 0
    assert entry(["attach", str(outs[1]), f"mlflow:{name}/{second}"]) == 0
    assert entry(["attach", str(outs[0]), f"mlflow:{name}/{first}"]) == 0
    assert desk.aliases(name) == {"audit-pass": second}
    assert f"the alias audit-pass stays on version {second}" in told(capsys)
    assert entry(["attach", str(outs[0]), f"mlflow:{name}/{first}", "--check"]) == 0


def test_files_that_cannot_be_had_get_no_alias(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    shutil.rmtree(model)
    # No digest to compare with: the audit saw answers alone.
    out = desk.audit(None, "pass")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    assert desk.seen(name, number).tags["xai_audit.model_files"] == "unchecked: the audit saw no model file"
    assert desk.seen(name, number).tags["xai_audit.model_sha256"] == "unknown"
    assert desk.aliases(name) == {}
    assert entry(["attach", str(out), f"mlflow:{name}", "--check"]) == 0
    # A source that is gone.
    run = desk.seen(name, number).run_id
    gone = desk.client.create_model_version(name, f"runs:/{run}/nowhere", run).version
    out = desk.audit("ab" * 32, "pass")
    capsys.readouterr()
    assert entry(["attach", str(out), f"mlflow:{name}/{gone}"]) == 0
    assert "the files are unchecked: they could not be had: " in told(capsys)
    assert desk.seen(name, str(gone)).tags["xai_audit.model_files"] == "unchecked: they could not be had"
    assert entry(["attach", str(out), f"mlflow:{name}/{gone}"]) == 0
    assert "nothing to change" in told(capsys)
    assert desk.aliases(name) == {}


def test_an_alias_set_by_hand_on_a_failing_version_is_told(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    out = desk.audit(digest.of_folder(model), "fail")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    desk.client.set_registered_model_alias(name, "audit-pass", number)
    capsys.readouterr()
    assert entry(["attach", str(out), f"mlflow:{name}", "--check"]) == 1
    assert "the alias audit-pass stands on it" in told(capsys)
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 0
    assert desk.aliases(name) == {}


def test_a_report_of_another_audit_is_not_sent(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = desk.model()
    number = desk.version(name, model)
    out = desk.audit(digest.of_folder(model), "pass")
    (out / "report.html").write_text("of another audit")
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 4
    assert "report.html: is not the file that manifest.json names" in capsys.readouterr().err
    (out / "manifest.json").unlink()
    assert entry(["attach", str(out), f"mlflow:{name}"]) == 4
    assert desk.seen(name, number).tags == {}


def test_what_is_not_there_is_told_in_one_line(
    desk: Desk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.version(name, desk.model())
    out = desk.audit("ab" * 32, "pass")
    capsys.readouterr()
    for target in (f"mlflow:{name}-", f"mlflow:{name}/99", f"mlflow:{name}@nobody"):
        assert entry(["attach", str(out), target]) == 4
        said = capsys.readouterr().err
        assert said.startswith(f"mlflow:{target[7:].split('/')[0].split('@')[0]}: ")
        assert said.count("\n") == 1
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{closed.getsockname()[1]}"
        assert entry(["attach", str(out), f"mlflow:{name}", "--tracking-uri", address]) == 4
    said = capsys.readouterr().err
    assert said == f"mlflow:{name}: the tracking server does not answer\n"


def test_the_environment_is_as_before(desk: Desk, name: str) -> None:
    model = desk.model()
    desk.version(name, model)
    before = dict(os.environ)
    registry.attach(
        desk.audit(digest.of_folder(model), "pass"),
        _bound(desk, model),
        Target(name),
        before["MLFLOW_TRACKING_URI"],
    )
    assert {key: os.environ.get(key) for key in registry._SETTINGS} == {
        key: before.get(key) for key in registry._SETTINGS
    }


def _bound(desk: Desk, model: Path) -> Any:
    from xai_audit.attach import binding

    return binding.read(desk.audit(digest.of_folder(model), "pass"))[1]


# ---------------------------------------------------------------------------------------------- without a server
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlflow:credit", Target("credit")),
        ("mlflow:credit/3", Target("credit", version="3")),
        ("mlflow:main.risk.credit@audit-pass", Target("main.risk.credit", alias="audit-pass")),
        ("mlflow:credit scorer", Target("credit scorer")),
    ],
)
def test_targets(text: str, expected: Target) -> None:
    assert registry.target(text) == expected


@pytest.mark.parametrize(
    "text", ["mlflow:", "mlflow:a/b", "mlflow:a/1/2", "mlflow:a@", "mlflow:a:b", "mlflow:a@b/1"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match="a model version is"):
        registry.target(text)


def test_publishable_holds_no_evidence(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "out")
    found = registry.publishable(tmp_path / "out")
    assert {"audit.json", "manifest.json"} <= set(found)
    assert not [name for name in found if "evidence" in name or name.endswith((".parquet", ".npz"))]
    with pytest.raises(UnavailableError, match="manifest"):
        registry.publishable(tmp_path)


def test_tags_of_every_audit_are_short_and_on_one_line() -> None:
    from xai_audit.attach import binding

    for made in (audits.hostile(), audits.failing(), audits.unmodelled()):
        for key, value in registry.tags(binding.binding(made, "0" * 64), "the folder").items():
            assert key.startswith("xai_audit.")
            assert value.isprintable()
            assert 0 < len(value) < 5000
