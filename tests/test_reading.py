from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import secrets
import sys
from pathlib import Path

import jsonschema
import pytest

from benchmarks.fuzz_specs import KINDS, VALID, bed, cases, mangled, mutated, read_through, written
from xai_audit.catalog import methods
from xai_audit.errors import Mistake, SpecError
from xai_audit.reading import (
    audit_schema,
    find_policy,
    policy_schema,
    read_policy,
    read_spec,
    read_specs,
    shipped,
    spec_schema,
)
from xai_audit.reading.named import RESERVED, selectable
from xai_audit.reading.said import placeholder
from xai_audit.source import read
from xai_audit.spec import Spec

MINIMAL = """\
version: 1
system: {name: Triage}
model: {format: predictions, score: s}
data: {test: {path: t.csv}, target: y, sensitive: [sex]}
metrics: [accuracy]
"""


TRUST = f"trust: true, sha256: {'0' * 64}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "t.csv").write_text("y,s,sex\n1,0.5,a\n")
    (tmp_path / "m.skops").write_bytes(b"x")
    for name in ("m.joblib", "m.onnx", "t.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spec(text: str = MINIMAL, *overrides: str, **changes: str) -> Spec:
    for old, new in changes.items():
        text = text.replace(old, new)
    Path("audit.yaml").write_text(text, encoding="utf-8")
    return read_spec("audit.yaml", overrides)


def told(text: str = MINIMAL, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec(text, *overrides)
    return [str(mistake) for mistake in caught.value.mistakes]


def with_lines(**sections: str) -> str:
    """MINIMAL with some of its top-level lines replaced or added."""
    lines = {line.partition(":")[0]: line for line in MINIMAL.splitlines()}
    lines |= {key: f"{key}: {value}" for key, value in sections.items()}
    return "\n".join(lines.values()) + "\n"


@pytest.mark.usefixtures("folder")
class TestSpec:
    def test_a_minimal_spec(self) -> None:
        found = spec()
        assert found.system.name == "Triage"
        assert found.model.format == "predictions"
        assert found.data.sensitive[0].column == "sex"
        assert [(use.method, use.name, use.line) for use in found.metrics] == [("accuracy", "accuracy", 5)]
        assert found.primary == "accuracy"
        assert found.resolve("t.csv") == Path("t.csv")
        assert found.places["data.target"] == (4, 37)
        assert found.places["data.sensitive.0"] == (4, 52)

    def test_it_lives_on_as_json(self) -> None:
        found = spec(VALID, "model.threshold=0.4")
        again = Spec.model_validate_json(json.dumps(found.model_dump(mode="json")))
        assert again.model_dump() == found.model_dump()

    def test_twelve_mistakes_are_twelve_located_lines(self) -> None:
        lines = told("""\
version: 1
system:
  name: Triage
  stage: relase
  statements: {oversigt: {a: x}, hardware: TBD}
model: {path: m.skops, treshold: 0.5}
data:
  test: {path: t.csv}
  sensitive: [{column: age, bins: [50, 30]}]
  crossings: some
metrics: [acuracy]
policies: [eu-ai-akt]
report: {language: de}
run: {budget: 10m, jobs: 0}
""")
        places = [line.split(": ", 1)[0] for line in lines]
        assert places == [f"audit.yaml:{place}" for place in (
            "4:10", "5:16", "5:44", "6:24", "9:35", "10:14", "11:11", "12:12", "13:20", "14:7", "14:26",
        )]  # fmt: skip
        lines = told("""\
version: 1
system:
  name: Triage
  stage: relase
  statements: {oversigt: {a: x}, hardware: TBD}
model: {path: m.skops, treshold: 0.5}
data:
  test: {path: t.csv}
  sensitive: [{column: age, bins: [50, 30]}]
  crossings: some
metrics: [acuracy]
policies: [eu-ai-akt]
report: {language: de, fomats: [html]}
run: {budget: 10m, jobs: 0}
""")
        assert len(lines) == 12
        assert lines[6] == "audit.yaml:11:11: no metric named 'acuracy'; did you mean 'accuracy'?"
        assert lines[10] == "audit.yaml:14:7: run.budget: not available in this version"

    @pytest.mark.parametrize(
        ("sections", "expected"),
        [
            ({"modle": "{}"}, "no key named 'modle'; did you mean 'model'?"),
            ({"version": "true"}, "version: this program reads version 1, not 'true'"),
            ({"version": "2"}, "version: this program reads version 1"),
            ({"system": "{}"}, "audit.yaml:2:9: system: the key 'name' is missing"),
            ({"system": "{name: TBD}"}, "'TBD' holds a place"),
            ({"system": "[a]"}, "system: keys and values are asked here"),
            ({"model": "{}"}, "the key 'path' is missing"),
            ({"model": "{path: m.xyz}"}, "no format follows from 'm.xyz'"),
            ({"model": f"{{path: m.pt, {TRUST}}}"}, "model.path: no such file: 'm.pt'"),
            ({"model": f"{{format: torch, {TRUST}}}"}, "format torch asks for a path, or an entry"),
            (
                {"model": f"{{path: t.safetensors, {TRUST}}}"},
                "holds weights and no network; add entry: net.py:build",
            ),
            (
                {"model": f"{{format: torch, path: m.skops, entry: net.py, {TRUST}}}"},
                "module.py:function is asked",
            ),
            ({"model": "{format: transformers}"}, "format 'transformers' is a folder"),
            ({"model": "{format: transformers, path: m.skops}"}, "'m.skops' is a file; a folder is asked"),
            ({"model": "{format: transformers, path: absent}"}, "no such folder: 'absent'"),
            (
                {"model": "{path: m.skops, device: cpu}"},
                "model.device: belongs to format torch or transformers",
            ),
            (
                {"model": "{format: skops, path: m.skops, entry: 'a.py:f'}"},
                "names code of format python or torch",
            ),
            (
                {"model": "{path: m.onnx, preprocess: {tokenizer: absent.json}}"},
                "tokenizer: no such file: 'absent.json'",
            ),
            ({"model": "{path: m.onnx, preprocess: {size: big}}"}, "model.preprocess.size"),
            (
                {"model": "{path: m.onnx, checkpoints: x}"},
                "model.checkpoints: belongs to format torch; this is 'onnx'",
            ),
            (
                {"model": f"{{format: torch, entry: 'm:f', {TRUST}, checkpoints: 'c/*.safetensors'}}"},
                "model.checkpoints: no file matches 'c/*.safetensors'",
            ),
            (
                {"model": f"{{format: torch, entry: 'm:f', {TRUST}, checkpoints: 'c/*.pt'}}"},
                "model.checkpoints: checkpoints are read as safetensors",
            ),
            (
                {"model": f"{{format: torch, path: m.skops, {TRUST}, checkpoints: 't*.safetensors'}}"},
                "weights alone build no network; add entry",
            ),
            (
                {
                    "model": f"{{format: torch, entry: 'm:f', {TRUST}, checkpoints: {{before: 't*.safetensors'}}}}"
                },
                "model.checkpoints.before: t.safetensors has no number in its name",
            ),
            ({"model": "{format: http}"}, "model.url: format http posts rows to a URL; give one"),
            ({"model": "{format: skop, path: m.skops}"}, "did you mean 'skops'?"),
            ({"model": "{path: absent.skops}"}, "model.path: no such file: 'absent.skops'"),
            ({"model": "{path: .}"}, "no format follows from '.'"),
            ({"model": "{path: m.skops, url: x}"}, "model.url: belongs to format http"),
            ({"model": "{path: m.skops, score: s}"}, "names a column of format predictions"),
            ({"model": "{format: predictions}"}, "'score' or 'prediction'"),
            ({"model": "{format: predictions, score: y}"}, "is the target as well"),
            ({"model": "{format: predictions, score: s, path: m.skops}"}, "has no model file"),
            ({"model": "{path: m.skops, threshold: .inf}"}, "a number is asked, not '.inf'"),
            ({"model": "{path: m.skops, threshold: 1e999}"}, "a number is asked, not '1e999'"),
            ({"model": "{path: m.skops, trust: yes}"}, "true or false is asked, not 'yes' (write true)"),
            ({"model": "{path: m.skops, sha256: abc}"}, "64 hexadecimal digits"),
            (
                {"model": "{path: m.skops, task: regression, threshold: 1}", "metrics": "[r2]"},
                "a regression has no classes",
            ),
            ({"model": "{path: m.skops, classes: [a, b], positive: c}"}, "is not among the classes"),
            ({"model": f"{{format: python, {TRUST}}}"}, "the key 'entry' is missing"),
            ({"model": f"{{path: m.py, {TRUST}}}"}, "model.path: module.py:function is asked"),
            ({"model": f"{{format: python, entry: m.py, {TRUST}}}"}, "module.py:function is asked"),
            ({"data": "{test: {path: absent.csv}}"}, "data.test.path: no such file: 'absent.csv'"),
            ({"data": "{test: {path: t.xls}}"}, "no format follows from 't.xls'"),
            ({"data": "{test: {path: 'x*.csv'}}"}, "not available in this version"),
            ({"data": "{test: {path: 's3://b/x.csv'}}"}, "a file on this machine is asked"),
            ({"data": "{test: t.csv}"}, "data.test: keys and values are asked, not 't.csv'"),
            (
                {"data": "{test: {path: t.csv}, sets: [a]}"},
                "data.sets: keys and values are asked, not a list",
            ),
            (
                {"data": "{test: {path: t.csv}, sets: {a: {path: absent/}}}"},
                "data.sets.a.path: no such file or folder: 'absent/'",
            ),
            (
                {"data": "{test: {path: t.csv}, sets: {a: {path: t.csv, clean: c}}}"},
                "data.sets.a.clean: prompts are pairs; corrupted names the other side and is missing",
            ),
            (
                {"data": "{test: {path: t.csv}, sets: {a: {path: t.csv, where: 'sex = 1'}}}"},
                "data.sets.a.where: character ",
            ),
            (
                {
                    "explainers": "[{neuron_search: {triggers: [{name: a, triggered: stmp, target: 1}], sites: [a]}}]"
                },
                "neuron_search: no set named 'stmp'; data.sets names none",
            ),
            (
                {"explainers": "[{tcav: {concepts: [stamp], sites: [a]}}]"},
                "tcav: no set named 'stamp'; data.sets names none",
            ),
            (
                {
                    "data": "{test: {path: t.csv}, sets: {stamp: {path: t.csv}, pool: {path: t.csv}}}",
                    "explainers": "[{tcav: {concepts: [stmp], random: pool, sites: [a]}}]",
                },
                "tcav: no set named 'stmp'; did you mean 'stamp'?",
            ),
            (
                {
                    "model": "{format: predictions, score: s, classes: [a, b]}",
                    "data": "{test: {path: t.csv}, sets: {stamp: {path: t.csv}}}",
                    "explainers": "[{tcav: {concepts: [stamp], sites: [a], classes: [c]}}]",
                },
                "tcav: no class 'c'; it is one of",
            ),
            ({"data": "{test: {path: t.csv}, sets: {a: {}}}"}, "data.sets.a: the key 'path' is missing"),
            ({"data": "{test: {path: t.csv, labels: l.csv}}"}, "data.test.labels: stand beside pictures"),
            ({"data": "{test: {path: t.csv, sql: x}}"}, "data.test.sql: not available in this version"),
            ({"data": "{test: {path: pictures.zip}}"}, "an archive of files: not available in this version"),
            ({"data": "{test: {path: t.csv, format: images}}"}, "'t.csv' is a file; a folder of pictures"),
            ({"data": "{test: {path: pictures}}"}, "no such file or folder: 'pictures'"),
            ({"data": "{}"}, "data: the key 'test' is missing"),
            ({"data": "{test: {path: t.csv}, sensitive: [a, a]}"}, "stands here twice"),
            ({"data": "{test: {path: t.csv}, target: a, sensitive: [a]}"}, "is the target as well"),
            ({"data": "{test: {path: t.csv}, target: a, id: a}"}, "is the target as well"),
            (
                {"data": "{test: {path: t.csv}, sensitive: [{column: a, file: t.csv}]}"},
                "'file' goes with 'key'",
            ),
            ({"data": "{test: {path: t.csv}, sensitive: [{column: a, bins: []}]}"}, "is empty"),
            (
                {"data": "{test: {path: t.csv}, sensitive: [{column: a, bins: [x]}]}"},
                "a number is asked, not 'x'",
            ),
            ({"data": "{test: {path: t.csv}, features: [a], categorical: [b]}"}, "is not among the features"),
            ({"data": "{test: {path: t.csv}, features: a}"}, "a list is asked, not 'a'"),
            ({"data": "{test: {path: 'sklearn:'}}"}, "sklearn:NAME is asked"),
            ({"metrics": "accuracy"}, "metrics: a list of names is asked"),
            ({"metrics": "[accuracy, accuracy]"}, "a name of its own with 'as'"),
            ({"metrics": "[{accuracy: {}, recall: {}}]"}, "one name with its parameters is asked, not 2"),
            ({"metrics": "[{accuracy: {primary: true}}, {recall: {primary: true}}]"}, "marked primary"),
            ({"metrics": "[{accuracy: {}, as: recall}]"}, "is another method's name"),
            ({"metrics": "[{accuracy: {}, as: 'a/b'}]"}, "a name of letters, digits, _ and -"),
            (
                {"metrics": "[{accuracy: {primry: true}}]"},
                "accuracy: no key named 'primry'; did you mean 'primary'?",
            ),
            ({"metrics": "[shap]"}, "'shap' is an explainer; it stands under explainers"),
            ({"metrics": "[invalid_labels]"}, "measured in every audit"),
            (
                {"explainers": "[counterfactuals]"},
                "explainers: counterfactuals: not available in this version",
            ),
            ({"explainers": "[shp]"}, "no explainer named 'shp'; did you mean 'shap'?"),
            ({"explainers": "[{shap: {rows: many}}]"}, "shap.rows: "),
            ({"policies": "[no-such]"}, "no policy named 'no-such'"),
            ({"policies": "[own.yaml]"}, "no such file: own.yaml"),
            ({"policies": "[eu-ai-act, eu-ai-act]"}, "stands here twice"),
            ({"report": "{formats: [docx]}"}, "report.formats: docx: not available in this version"),
            ({"report": "{formats: [htm]}"}, "did you mean 'html'?"),
            ({"report": "{language: fr}"}, "report.language: fr: not available in this version"),
            ({"report": "{min_cell: -1}"}, "'-1' is out of range; it is at least 0"),
            ({"run": "{confidence: 1}"}, "'1' is out of range; it is less than 1"),
            ({"run": "{seed: 1.5}"}, "run.seed: a whole number is asked, not '1.5'"),
            ({"run": "{jobs: 007}"}, "a whole number is asked, not '007' (write 7)"),
            ({"run": "{seed: 12345678901234567890}"}, "(too large)"),
            ({"run": "{seed: 1_000}"}, "(write 1000)"),
        ],
    )
    def test_a_mistake_is_one_line_that_helps(self, sections: dict[str, str], expected: str) -> None:
        lines = told(with_lines(**sections))
        assert len(lines) == 1, lines
        assert expected in lines[0]
        assert lines[0].startswith("audit.yaml:")

    def test_pictures_in_folders_have_a_class_which_is_the_target(self, folder: Path) -> None:
        for name in ("cat", "dog"):
            (folder / "pets" / name).mkdir(parents=True)
            (folder / "pets" / name / "1.png").write_bytes(b"x")
        text = MINIMAL.replace("{path: t.csv}, target: y, sensitive: [sex]", "{path: pets/}")
        assert spec(text).data.target == "class"
        assert spec(text.replace("{path: pets/}", "{path: pets/, labels: t.csv}")).data.target is None
        (folder / "flat").mkdir()
        (folder / "flat" / "1.png").write_bytes(b"x")
        assert spec(text.replace("pets/", "flat/")).data.target is None

    def test_sets_are_read_with_their_conditions(self) -> None:
        sets = "sets: {a: {path: t.csv, where: \"sex == 'a' and y >= 1\"}, b: {path: t.csv, text: sex}}"
        found = spec(MINIMAL.replace("target: y,", f"target: y, {sets},")).data.sets
        assert list(found) == ["a", "b"]
        assert (found["a"].where, found["b"].text) == ("sex == 'a' and y >= 1", "sex")

    def test_every_reserved_name_is_there_or_refused_by_name(self) -> None:
        for kind, names in RESERVED.items():
            for name in names:
                text = with_lines(**{f"{kind}s": f"[{name}]"})
                if name in methods():
                    assert spec(text)
                else:
                    assert told(text)[0].endswith(f"{kind}s: {name}: not available in this version")

    def test_only_missing_files_exit_with_4(self) -> None:
        with pytest.raises(SpecError) as caught:
            read_spec("absent.yaml")
        assert caught.value.exit_code == 4
        with pytest.raises(SpecError) as caught:
            spec(with_lines(model="{path: absent.skops}", data="{test: {path: absent.csv}, target: y}"))
        assert (caught.value.exit_code, len(caught.value.mistakes)) == (4, 2)
        with pytest.raises(SpecError) as caught:
            spec(with_lines(model="{path: absent.skops}", metrics="[acuracy]"))
        assert caught.value.exit_code == 2

    def test_code_is_trusted_in_writing(self) -> None:
        digest = hashlib.sha256(b"x").hexdigest()
        (line,) = told(with_lines(model="{path: m.joblib}"))
        assert f"write `trust: true` and `sha256: {digest}` under model" in line
        (line,) = told(with_lines(model="{path: m.joblib, trust: true}"))
        assert f"write `sha256: {digest}` under model" in line
        (line,) = told(with_lines(model=f"{{path: m.joblib, trust: false, sha256: {digest}}}"))
        assert "write `trust: true` under model" in line
        assert spec(with_lines(model=f"{{path: m.joblib, trust: true, sha256: {digest}}}")).model.trust

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("m.skops", "skops"),
            ("m.ubj", "xgboost"),
            ("m.json", "xgboost"),
            ("m.txt", "lightgbm"),
            ("M.ONNX", "onnx"),
        ],
    )
    def test_the_format_follows_from_the_suffix(self, name: str, kind: str) -> None:
        Path(name).write_bytes(b"x")
        assert spec(with_lines(model=f"{{path: {name}}}")).model.format == kind

    def test_a_second_use_has_a_name_of_its_own(self) -> None:
        found = spec(with_lines(metrics="[accuracy, {accuracy: {primary: true}, as: again}]"))
        assert [(use.method, use.name) for use in found.metrics] == [
            ("accuracy", "accuracy"),
            ("accuracy", "again"),
        ]
        assert found.primary == "again"

    def test_a_column_named_like_a_part_is_a_mistake(self) -> None:
        (part, method) = next(
            (method.parts[0], name)
            for name, method in methods().items()
            if method.parts and method.kind == "explainer"
        )
        text = with_lines(explainers=f"[{method}]", data=f"{{test: {{path: t.csv}}, sensitive: [{part}]}}")
        assert any("rename the column" in line for line in told(text))

    def test_words_where_words_are_asked(self) -> None:
        found = spec(
            with_lines(
                system="{name: 2026, version: 2.10}", data="{test: {path: t.csv}, sensitive: [1, yes]}"
            )
        )
        assert (found.system.name, found.system.version) == ("2026", "2.10")
        assert [column.column for column in found.data.sensitive] == ["1", "yes"]

    def test_several_specs_tell_their_mistakes_together(self) -> None:
        Path("a.yaml").write_text(with_lines(metrics="[acuracy]"))
        Path("b.yaml").write_text(with_lines(run="{jobs: 0}"))
        with pytest.raises(SpecError) as caught:
            read_specs(["a.yaml", "b.yaml", "c.yaml"])
        assert [mistake.file for mistake in caught.value.mistakes] == ["a.yaml", "b.yaml", "c.yaml"]

    def test_a_mistake_in_a_policy_of_ones_own_is_told_with_the_rest(self) -> None:
        Path("own.yaml").write_text("id: own\nversion: 1\nas_of: 2026-01-01\nruls: []\n")
        lines = told(with_lines(policies="[own.yaml]", run="{jobs: 0}"))
        assert [line.partition(":")[0] for line in lines] == ["audit.yaml", "own.yaml"]

    def test_heavy_libraries_are_left_alone(self) -> None:
        import subprocess

        code = (
            "import sys; from xai_audit.reading import read_spec, read_policy, shipped, find_policy; "
            "[read_policy(find_policy(name, None)) for name in shipped()]; "
            "print(sorted({'shap', 'lime', 'torch', 'sklearn', 'weasyprint', 'pandas', 'matplotlib'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("folder")
class TestExtends:
    def test_keys_here_win(self) -> None:
        Path("base.yaml").write_text(VALID)
        Path("audit.yaml").write_text(
            "extends: base.yaml\nsystem: {name: Other}\nmetrics: [recall]\ndata: {train: null}\n"
        )
        found = read_spec("audit.yaml")
        assert found.system.name == "Other"
        assert found.system.version == "2.1"
        assert [use.method for use in found.metrics] == ["recall"]
        assert found.data.target == "y"

    def test_a_mistake_points_into_the_file_that_holds_it(self) -> None:
        Path("base.yaml").write_text(MINIMAL.replace("accuracy", "acuracy"))
        lines = told("extends: base.yaml\nrun: {jobs: 0}\n")
        assert [line.split(": ")[0] for line in lines] == ["audit.yaml:2:13", "base.yaml:5:11"]

    def test_paths_in_another_folder_stay_where_they_are(self, folder: Path) -> None:
        inner = folder / "inner"
        inner.mkdir()
        (inner / "p.yaml").write_text(POLICY)
        (inner / "model.py").write_text("")
        text = with_lines(
            data="{test: {path: ../t.csv}, sensitive: [{column: g, file: ../t.csv, key: y}]}",
            policies="[p.yaml, eu-ai-act]",
            model=f"{{format: python, entry: 'model.py:f', trust: true, sha256: {'0' * 64}}}",
        )
        (inner / "base.yaml").write_text(text)
        Path("audit.yaml").write_text("extends: inner/base.yaml\n")
        found = read_spec("audit.yaml")
        assert found.resolve(found.data.test.path).samefile("t.csv")
        assert found.policies == ("inner/p.yaml", "eu-ai-act")
        assert found.model.entry == "inner/model.py:f"
        assert read_spec(inner / "base.yaml").policies == ("p.yaml", "eu-ai-act")

    def test_folders_sets_and_tokenizers_move_too(self, folder: Path) -> None:
        inner = folder / "inner"
        for name in ("model", "pictures", "stripes"):
            (inner / name).mkdir(parents=True)
        (inner / "model" / "config.json").write_text("{}")
        (inner / "tokenizer.json").write_text("{}")
        (inner / "labels.csv").write_text("file,y\n")
        text = with_lines(
            data="{test: {path: pictures, labels: labels.csv}, target: y, sets: {stripes: {path: stripes}}}",
            model="{path: model, preprocess: {tokenizer: tokenizer.json}}",
        )
        (inner / "base.yaml").write_text(text)
        Path("audit.yaml").write_text("extends: inner/base.yaml\n")
        found = read_spec("audit.yaml")
        assert found.model.format == "transformers"
        assert found.model.path == "inner/model"
        assert found.model.preprocess is not None
        assert found.model.preprocess.tokenizer == "inner/tokenizer.json"
        assert (found.data.test.path, found.data.test.labels) == ("inner/pictures", "inner/labels.csv")
        assert found.data.sets["stripes"].path == "inner/stripes"

    def test_loops_and_absent_files(self) -> None:
        Path("b.yaml").write_text("extends: audit.yaml\n")
        assert any("a loop" in line for line in told("extends: b.yaml\n"))
        assert any("a loop" in line for line in told("extends: audit.yaml\n"))
        assert any("no such file: 'absent.yaml'" in line for line in told(MINIMAL + "extends: absent.yaml\n"))
        assert any("one path" in line for line in told(MINIMAL + "extends: [a]\n"))
        Path("list.yaml").write_text("- a\n")
        assert told(MINIMAL + "extends: list.yaml\n") == ["list.yaml:1:1: a spec is keys and values"]


@pytest.mark.usefixtures("folder")
class TestOverrides:
    def test_they_win_and_are_recorded(self) -> None:
        found = spec(
            MINIMAL,
            "model.threshold=1e1",
            "run.seed=3",
            "data.sensitive=[{column: a, bins: [1, 2]}]",
            "system.version=2026-01-02",
        )
        assert (found.model.threshold, found.run.seed) == (10, 3)
        assert found.data.sensitive[0].bins == (1, 2)
        assert found.overrides == {
            "model.threshold": 10,
            "run.seed": 3,
            "data.sensitive": [{"column": "a", "bins": [1, 2]}],
            "system.version": "2026-01-02",
        }

    def test_an_entry_of_a_list_and_an_empty_value(self) -> None:
        assert spec(MINIMAL, "metrics.0=recall").primary == "recall"
        assert spec(MINIMAL, "data.target=").data.target is None

    @pytest.mark.parametrize(
        ("override", "expected"),
        [
            ("threshold", "--set 'threshold': key.path=value is asked"),
            ("a..b=1", "key.path=value is asked"),
            ("=1", "key.path=value is asked"),
            ("run.jobs=x", "--set run.jobs: run.jobs: a whole number is asked, not 'x'"),
            ("run.jbs=1", "--set run.jbs: run: no key named 'jbs'; did you mean 'jobs'?"),
            ("model.score.a=1", "--set model.score.a: there is nothing under 'a' to set"),
            ("metrics.7=recall", "--set metrics.7: there is nothing under '7' to set"),
            ("run=[1, 2", "--set run: a ',' or a ']' is asked here"),
            ("extends=b.yaml", "--set extends: what a spec extends cannot be changed here"),
        ],
    )
    def test_mistakes_in_them(self, override: str, expected: str) -> None:
        (line,) = told(MINIMAL, override)
        assert line.startswith(expected) or expected in line


@pytest.mark.usefixtures("folder")
class TestStatements:
    def system(self, lines: str) -> Spec:
        return spec(with_lines(system=f"\n  name: Triage\n{lines}"))

    def test_every_way_to_say_something(self) -> None:
        found = self.system("""\
  intended_purpose: Sorts patients.
  statements:
    hardware: {text: A server, author: Ann, date: 2026-01-02, language: en, evidence_refs: [accuracy]}
    oversight: {a: Watch, b: {text: Stop, author: Bea}, author: Ann}
    logging: {design: Syslog, retention_days: 200}
    risk_register: [{hazard: Fire, measure: Water}, Plain words, {text: Flood, author: Ann}]
    retention_years: 10
  signatories: [{name: Jo, function: Head, date: 2026-11-22}]
""")
        day = dt.date(2026, 11, 22)
        (purpose,) = found.said("intended_purpose")
        assert (purpose.text, purpose.author, purpose.date) == ("Sorts patients.", "Jo", day)
        (hardware,) = found.said("hardware")
        assert (hardware.author, hardware.date, hardware.evidence_refs) == (
            "Ann",
            dt.date(2026, 1, 2),
            ("accuracy",),
        )
        assert [(one.letter, one.text, one.author) for one in found.said("oversight")] == [
            ("a", "Watch", "Ann"),
            ("b", "Stop", "Bea"),
        ]
        assert [(one.letter, one.text) for one in found.said("logging")] == [
            ("design", "Syslog"),
            ("retention_days", "200"),
        ]
        assert [(one.letter, one.text, one.author) for one in found.said("risk_register")] == [
            ("1.hazard", "Fire", "Jo"), ("1.measure", "Water", "Jo"), ("2", "Plain words", "Jo"), ("3", "Flood", "Ann"),
        ]  # fmt: skip
        assert [one.text for one in found.said("retention_years")] == ["10"]
        assert found.said("cybersecurity") == ()

    def test_without_a_signatory_nobody_said_it(self) -> None:
        (said,) = self.system("  statements: {hardware: A server}\n").said("hardware")
        assert (said.author, said.date) == (None, None)

    def test_declared_levels_stand_under_statements(self) -> None:
        found = self.system("  statements: {declared_levels: [{metric: recall, at_least: 0.75}]}\n")
        assert found.system.declared_levels[0].at_least == 0.75

    @pytest.mark.parametrize(
        "text",
        [
            "TBD",
            "todo",
            "To be defined.",
            "lorem ipsum dolor",
            "xxx",
            "XX",
            "...",
            "…",
            "n/a",
            "N/A.",
            "?",
            "<name>",
            "[insert]",
            "TODO: ask Ann",
            "{{ name }}",
            "-",
        ],
    )
    def test_placeholders_say_nothing(self, text: str) -> None:
        assert placeholder(text)
        with pytest.raises(SpecError, match="holds a place and says nothing"):
            self.system(f"  statements: {{hardware: {json.dumps(text)}}}\n")

    @pytest.mark.parametrize(
        "text",
        [
            "None",
            "No gaps are known",
            "The todo list is kept in Jira",
            "A x86 server",
            "Lorem is a town",
            "5(a)",
            "See Annex",
        ],
    )
    def test_other_words_say_something(self, text: str) -> None:
        assert placeholder(text) is (text == "Lorem is a town")

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ("  statements: {oversight: {f: x}}", "no part named 'f'; it is one of a, b, c, d or e"),
            ("  statements: {loging: x}", "no statement named 'loging'; did you mean 'logging'?"),
            ("  statements: {intended_purpose: x}", "stands under system"),
            ("  statements: {hardware: {text: x, autor: y}}", "no key named 'autor'; did you mean 'author'?"),
            ("  statements: {hardware: {author: y}}", "the key 'text' is missing"),
            ("  statements: {hardware: ''}", "is empty"),
            (
                "  statements: {hardware: {text: x, date: soon}}",
                "a date such as 2026-11-22 is asked, not 'soon'",
            ),
            ("  statements: [a]", "keys and values are asked"),
            ("  intended_purpose: [a, b]", "text is asked, or {text, author, date}"),
            ("  signatories: [{name: TBD}]", "holds a place and names nothing"),
            ("  signatories: [{name: Jo, date: soon}]", "a date such as 2026-11-22 is asked"),
            ("  signatories: [Jo]", "keys and values are asked, not 'Jo'"),
            ("  waivers: [{rule: A, reason: b, approver: c}]", "the key 'expires' is missing"),
            (
                "  waivers: [{rule: A, reason: b, approver: c, expires: 2027-01-01, expired: true}]",
                "no key named 'expired'",
            ),
            (
                "  statements: {declared_levels: [{metric: recall, at_least: high}]}",
                "a number is asked, not 'high'",
            ),
        ],
    )
    def test_mistakes_in_what_is_said(self, lines: str, expected: str) -> None:
        with pytest.raises(SpecError) as caught:
            self.system(lines + "\n")
        assert len(caught.value.mistakes) == 1, str(caught.value)
        assert expected in str(caught.value)


POLICY = """\
id: own
version: 1
as_of: 2026-11-01
rules:
  - id: ONE-01
    title: Accuracy is high enough
    clause: Article 15(1)
    basis: law
    evidence: accuracy
    at_least: 0.5
    level: error
    examples:
      - {low: 0.6, high: 1, expect: pass}
      - {low: 0, high: 0.1, expect: fail}
      - {low: 0, high: 1, expect: open}
"""


@pytest.mark.usefixtures("folder")
class TestPolicy:
    def read(self, text: str) -> list[str]:
        Path("own.yaml").write_text(text)
        with pytest.raises(SpecError) as caught:
            read_policy("own.yaml")
        return [str(mistake) for mistake in caught.value.mistakes]

    def test_a_policy_and_its_digest(self) -> None:
        Path("own.yaml").write_text(POLICY)
        policy, digest = read_policy("own.yaml")
        assert policy.rules[0].at_least == 0.5
        assert digest == hashlib.sha256(POLICY.encode()).hexdigest()

    @pytest.mark.parametrize("name", shipped())
    def test_every_shipped_policy_is_read(self, name: str) -> None:
        path = find_policy(name, Path())
        assert isinstance(path, Path)
        policy, _ = read_policy(path)
        assert policy.id == name
        assert policy.rules

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("evidence: accuracy", "evidence: acuracy", "own.yaml:9:15: ONE-01: no evidence named 'acuracy'; did you mean 'accuracy'?"),
            ("evidence: accuracy", "evidence: counterfactuals", "own.yaml:9:15: ONE-01: counterfactuals: not available in this version"),
            ("evidence: accuracy", "evidence: sparse_probing/x", "own.yaml:9:15: ONE-01: its basis is law"),
            ("at_least: 0.5", "attested: oversigt", "no statement named 'oversigt'; did you mean 'oversight'?"),
            ("at_least: 0.5", "at_lest: 0.5", "own.yaml:10:5: rules[0]: no key named 'at_lest'; did you mean 'at_least'?"),
            ("basis: law", "basis: lore", "own.yaml:8:12: rules[0].basis: 'lore' is not possible here"),
            ("id: ONE-01", "id: one", "'one' is no rule's id; capitals"),
            ("level: error\n", "level: error\n    at_most: 0.9\n", "exactly one of at_least"),
            ("as_of: 2026-11-01", "as_of: later", "own.yaml:3:8: as_of: a date such as 2026-11-22 is asked, not 'later'"),
            ("at_least: 0.5", "at_least: half", "a number or 'declared' is asked, not 'half'"),
        ],
    )  # fmt: skip
    def test_mistakes_have_their_place(self, old: str, new: str, expected: str) -> None:
        lines = self.read(POLICY.replace(old, new))
        assert expected in lines[0]
        assert all(line.startswith("own.yaml:") for line in lines)

    def test_a_convention_may_explore(self) -> None:
        text = POLICY.replace("evidence: accuracy", "evidence: sparse_probing")
        assert "its basis is law" in self.read(text)[0]
        Path("own.yaml").write_text(text.replace("basis: law", "basis: convention"))
        assert read_policy("own.yaml")[0].rules[0].evidence == "sparse_probing"

    def test_a_name_or_a_path(self, folder: Path) -> None:
        Path("own.yaml").write_text(POLICY)
        assert find_policy("own.yaml", folder) == folder / "own.yaml"
        assert "no such file" in str(find_policy("other.yaml", folder))
        assert "did you mean 'eu-ai-act'?" in str(find_policy("eu-ai-acts", folder))
        assert "no such file" in str(find_policy("a" * 5000 + ".yaml", folder))


@pytest.mark.usefixtures("folder")
class TestSchemas:
    def test_they_are_schemas(self) -> None:
        for schema in (spec_schema(), policy_schema(), audit_schema()):
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_editors_complete_names_and_parameters(self) -> None:
        items = spec_schema()["properties"]["metrics"]["anyOf"][0]["items"]["anyOf"]
        assert {item["const"] for item in items if "const" in item} == set(selectable("metric"))
        text = json.dumps(spec_schema())
        assert "A score at or above it is positive." in text
        assert "Human oversight measures" in text

    @pytest.mark.parametrize("name", shipped())
    def test_shipped_policies_are_valid(self, name: str) -> None:
        path = find_policy(name, Path())
        assert isinstance(path, Path)
        root, _ = read(path, [])
        assert root is not None
        jsonschema.Draft202012Validator(policy_schema()).validate(root.plain())

    def test_a_spec_that_extends_another_may_hold_a_part_of_anything(self) -> None:
        Path("base.yaml").write_text(VALID)
        validator = jsonschema.Draft202012Validator(spec_schema())
        for part in (
            "system: {provider: {address: x}}",
            "system: {intended_purpose: {author: Bea}}",
            "data: {test: {format: csv}, train:}",
            "model:",
        ):
            Path("audit.yaml").write_text(f"extends: base.yaml\n{part}\n")
            if part != "model:":
                read_spec("audit.yaml")
            root, _ = read(Path("audit.yaml"), [])
            assert root is not None
            validator.validate(root.plain())
            assert not validator.is_valid({**root.plain(), "extends": None})

    def test_whatever_is_read_is_valid_and_shape_mistakes_are_not(self) -> None:
        validator = jsonschema.Draft202012Validator(spec_schema())
        rng = random.Random(20261122)
        accepted = refused = 0
        for number in range(300):
            text = written(mutated(rng, rng.randint(0, 2)))
            Path("audit.yaml").write_text(text, encoding="utf-8")
            mistakes: list[Mistake] = []
            root, _ = read(Path("audit.yaml"), mistakes)
            assert root is not None
            errors = [error.message for error in validator.iter_errors(root.plain())]
            try:
                read_spec("audit.yaml")
            except SpecError as error:
                mistakes += error.mistakes
            if not mistakes:
                accepted += 1
                assert not errors, f"{number}\n{text}\n{errors}"
            if any("no key named" in mistake.what or "is asked, not" in mistake.what for mistake in mistakes):
                refused += 1
                assert errors, f"{number}\n{text}\n{mistakes}"
        assert accepted > 50
        assert refused > 50


@pytest.mark.usefixtures("folder")
class TestFuzz:
    def test_only_mistakes_are_raised(self) -> None:
        rng = random.Random(20261122)
        accepted = 0
        for _ in range(300):
            Path("audit.yaml").write_bytes(mangled(rng))
            found: tuple[Mistake, ...] = ()
            try:
                read_spec("audit.yaml", ["run.seed=1"] if rng.random() < 0.3 else [])
                accepted += 1
            except SpecError as error:
                found = error.mistakes
            assert all(len(str(mistake).splitlines()) == 1 for mistake in found)
        assert accepted > 5

    def test_specs_of_every_kind_are_refused_in_lines_or_read_planned_and_kept(
        self, monkeypatch, tmp_path
    ) -> None:
        # Pictures, texts, servers, extends, policies of one's own, --set; `make proof` reads 200,000.
        seed = secrets.randbelow(2**31)
        monkeypatch.setenv("TOKEN", "secret")
        Path("bed").mkdir()
        bed(Path("bed"))
        monkeypatch.chdir("bed")
        counts, _ = cases(seed, range(300), Path(), tmp_path)
        assert not counts["other"], f"seed {seed}"
        assert counts["accepted"] > 5
        assert counts["refused"] > 50

    @pytest.mark.parametrize("number", range(3))
    def test_each_kind_of_spec_that_is_mangled_is_accepted_as_it_is(self, number: int, monkeypatch) -> None:
        monkeypatch.setenv("TOKEN", "secret")
        Path("bed").mkdir()
        bed(Path("bed"))
        monkeypatch.chdir("bed")
        Path("audit.yaml").write_text(KINDS[number])
        read_spec("audit.yaml")
        assert read_through(Path("audit.yaml"), []) == "accepted"
