"""PyTorch networks: weights with their entry, exported programs and TorchScript, on tables, pictures and texts."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from safetensors.torch import save_file  # noqa: E402

from xai_audit import digest  # noqa: E402
from xai_audit.errors import MethodError, UnavailableError  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402
from xai_audit.subject import filled, in_blocks  # noqa: E402

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(inplace=True), torch.nn.Dropout(0.5))
        self.head = torch.nn.Linear(8, outputs)

    def forward(self, x):
        return self.head(self.body(x))

def build():
    return Net()

def one():
    return Net(1)

def three():
    return Net(3)

def chances():
    return torch.nn.Sequential(Net(), torch.nn.Softmax(1))

def chance():
    return torch.nn.Sequential(Net(1), torch.nn.Sigmoid())

def seeded():
    torch.manual_seed(3)
    return Net()

def asks(size):
    return Net()

def number():
    return 3

class Restless(Net):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)

def restless():
    return Restless()
"""


def _net(outputs: int = 2) -> torch.nn.Module:
    space: dict = {}
    exec(NET, space)
    generator = torch.Generator().manual_seed(11)
    net = space["Net"](outputs)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return net.eval()


@pytest.fixture
def table(desk):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 2)).round(3), columns=["a", "b"])
    frame["y"] = (frame.a + frame.b > 0).astype(int)
    desk.csv("t.csv", frame)
    desk.write("net.py", NET)
    return frame


def both(desk, *names: str) -> str:
    raw = b"".join(hashlib.sha256((desk.folder / name).read_bytes()).digest() for name in names)
    return hashlib.sha256(raw).hexdigest()


def unwarned(call, *args, **kwargs):
    """What torch's own exporters give; they warn of what they do themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)


def use(desk, function: str = "build", width: int = 2, **more):
    state = _net(width).state_dict()
    if function in ("chances", "chance"):
        state = {f"0.{name}": value for name, value in state.items()}
    save_file(state, desk.folder / "w.safetensors")
    entry = f"net.py:{function}"
    found = {
        "path": "w.safetensors",
        "entry": entry,
        "trust": True,
        "sha256": both(desk, "w.safetensors", "net.py"),
    }
    return {**found, **more}


DATA = {"test": "t.csv", "target": "y", "features": ["a", "b"]}


def expected(table: pd.DataFrame, outputs: int = 2) -> np.ndarray:
    """Outputs in the table's own order, by torch alone."""
    with torch.no_grad():
        return _net(outputs)(torch.tensor(table[["a", "b"]].to_numpy(np.float32))).double().numpy()


def in_order(subject, table: pd.DataFrame) -> np.ndarray:
    """Rows of the table in the subject's order."""
    place = {tuple(row): index for index, row in enumerate(table[["a", "b"]].to_numpy())}
    return np.array([place[tuple(row)] for row in subject.test.frame[["a", "b"]].to_numpy()])


@pytest.mark.usefixtures("table")
class TestTables:
    def test_logits_become_a_softmax(self, desk, table):
        subject = desk.load(use(desk), **DATA)
        logits = expected(table)[in_order(subject, table)]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        assert np.allclose(subject.scores, powers / powers.sum(axis=1, keepdims=True), atol=1e-6)
        assert subject.probabilities
        assert subject.model.classes == (0, 1)
        margin = subject.evaluate(subject.test.frame, "margin")
        assert np.allclose(margin[:, 1], logits[:, 1] - logits[:, 0], atol=1e-5)
        assert np.array_equal(margin[:, 0], -margin[:, 1])
        assert np.allclose(1 / (1 + np.exp(-margin)), subject.scores, atol=1e-12)
        assert any("are no probabilities: they are taken for logits" in note for note in subject.notes)
        assert subject.model.details["parameters"] == 2 * 8 + 8 + 8 * 2 + 2
        assert subject.model.details["output"] == "probabilities"
        assert subject.facts["artefact"]["code_carrying"] is True

    @pytest.mark.parametrize(
        ("function", "outputs", "link", "said"),
        [
            ("one", 1, "sigmoid", "are no probabilities: they are taken for logits"),
            ("chances", 2, "none", "lie in [0, 1] and add up to one: they are taken for probabilities"),
            ("chance", 1, "pair", "lie in [0, 1]: they are taken for probabilities"),
        ],
    )
    def test_what_outputs_are_is_read_off_the_rows_and_said(self, desk, table, function, outputs, link, said):
        subject = desk.load(use(desk, function, outputs), **DATA)
        assert subject.model.network.link == link
        assert any(said in note for note in subject.notes)
        raw = expected(table, outputs)[in_order(subject, table)]
        chance = 1 / (1 + np.exp(-(raw[:, 0] if outputs == 1 else raw[:, 1] - raw[:, 0])))
        assert subject.scores.shape == (300, 2)
        assert np.allclose(subject.scores[:, 1], chance, atol=1e-6)
        assert np.allclose(subject.scores.sum(axis=1), 1, atol=1e-6)
        # What looks inside sees the same scores as what does not, to the bit.
        again = in_blocks(subject.model.scores, subject.test.frame, filled(subject.model))
        assert np.array_equal(again, subject.scores)
        assert np.allclose(subject.model.network.scores(subject.test.frame), subject.scores, atol=1e-7)
        if link in ("none", "pair"):
            assert subject.model.margin(subject.test.frame) is None
        else:
            assert np.allclose(subject.model.margin(subject.test.frame)[:, 1], raw[:, 0], atol=1e-5)

    def test_margins_are_decided_at_nought(self, desk, table):
        subject = desk.load(use(desk, "one", 1, outputs="margins"), **DATA)
        raw = expected(table, 1)[in_order(subject, table)][:, 0]
        assert np.allclose(subject.scores, np.stack([-raw, raw], axis=1), atol=1e-5)
        assert not subject.probabilities
        assert subject.threshold == 0
        assert np.array_equal(subject.prediction, (subject.scores[:, 1] >= 0).astype(int))

    def test_a_regression_gives_its_number(self, desk, table):
        desk.csv("r.csv", table.assign(y=table.a * 1.5))
        subject = desk.load(use(desk, "one", 1, task="regression"), **{**DATA, "test": "r.csv"})
        assert np.allclose(subject.prediction, expected(table, 1)[in_order(subject, table)][:, 0], atol=1e-5)
        assert subject.model.margin(subject.test.frame) is None

    def test_classes_without_names_are_the_labels_in_their_order_and_that_is_said(self, desk, table):
        desk.csv("w.csv", table.assign(y=np.where(table.y == 1, "yes", "no")))
        subject = desk.load(use(desk), **{**DATA, "test": "w.csv"})
        assert subject.classes == ("no", "yes")
        assert any("its outputs are taken for 'no', 'yes', in this order" in note for note in subject.notes)
        named = desk.load(use(desk, classes=["yes", "no"]), **{**DATA, "test": "w.csv"})
        assert np.array_equal(named.scores, subject.scores)
        assert named.positive == subject.positive == 1
        assert named.classes == ("yes", "no")
        assert not any("in this order" in note for note in named.notes)

    def test_shuffled_rows_give_the_same_bytes(self, desk, table):
        one = desk.load(use(desk), **DATA)
        desk.csv("t.csv", table.sample(frac=1, random_state=3))
        other = desk.load(use(desk), **DATA)
        assert np.array_equal(one.scores, other.scores)

    def test_a_worker_builds_it_again_from_the_same_files(self, desk):
        subject = desk.load(use(desk), **DATA)
        packed = cloudpickle.dumps(subject.model)
        assert len(packed) < 20_000  # no weights travel
        again = pickle.loads(packed)
        assert np.array_equal(in_blocks(again.scores, subject.test.frame, filled(again)), subject.scores)
        assert again.network.link == "softmax"
        save_file(_net(3).state_dict(), desk.folder / "w.safetensors")
        with pytest.raises(UnavailableError, match=r"w\.safetensors changed while the audit ran"):
            pickle.loads(packed).scores(subject.test.frame)

    def test_one_look_inside(self, desk, table):
        network = desk.load(use(desk), **DATA).model.network
        assert [site.path for site in network.sites()] == ["body", "body.0", "body.1", "body.2", "head"]
        frame = table[["a", "b"]].head(5)
        found = network.activations(frame, [Site("body.1")])[Site("body.1")]
        assert found.shape == (5, 8)
        assert (found >= 0).all()

    def test_an_entry_alone_builds_the_same_network_each_time(self, desk):
        alone = {"format": "torch", "entry": "net.py:seeded", "trust": True}
        sha = digest.of_file(desk.folder / "net.py")
        subject = desk.load({**alone, "sha256": sha}, **DATA)
        again = pickle.loads(cloudpickle.dumps(subject.model))
        assert np.array_equal(again.scores(subject.test.frame), subject.model.scores(subject.test.frame))
        other = {**alone, "entry": "net.py:build", "sha256": sha}
        told = str(desk.refused(other, **DATA))
        assert "net.py:build builds another network each time; save its weights and name them as path" in told


@pytest.mark.usefixtures("table")
class TestStateDicts:
    @pytest.mark.parametrize("name", ["w.pt", "w.pth"])
    def test_a_state_dict_of_torch(self, desk, name):
        torch.save(_net().state_dict(), desk.folder / name)
        found = {**use(desk), "path": name, "sha256": both(desk, name, "net.py")}
        plain = desk.load(use(desk), **DATA)
        assert np.array_equal(desk.load(found, **DATA).scores, plain.scores)

    def test_a_checkpoint_around_it_is_unwrapped_and_that_is_said(self, desk):
        torch.save({"epoch": 3, "state_dict": _net().state_dict()}, desk.folder / "w.pt")
        found = {**use(desk), "path": "w.pt", "sha256": both(desk, "w.pt", "net.py")}
        notes = desk.load(found, **DATA).notes
        assert "of the checkpoint the part 'state_dict' is taken" in notes

    def test_a_pickled_module_is_refused_by_what_it_holds(self, desk):
        torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), desk.folder / "w.pt")
        found = {**use(desk), "path": "w.pt", "sha256": both(desk, "w.pt", "net.py")}
        error = desk.refused(found, **DATA)
        assert error.exit_code == 4
        assert "holds pickled objects (torch.nn.modules.container.Sequential, " in str(error)
        assert "save model.state_dict() as safetensors" in str(error)

    def test_a_pickle_that_would_run_something_does_not(self, desk, tmp_path):
        class Evil:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "ran",))

        torch.save({"w": Evil()}, desk.folder / "w.pt")
        found = {**use(desk), "path": "w.pt", "sha256": both(desk, "w.pt", "net.py")}
        told = str(desk.refused(found, **DATA))
        assert "holds pickled objects (" in told
        assert "pathlib." in told
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"nothing at all", "is neither safetensors (Error while deserializing"),
            (b"PK\x03\x04broken", "w.pt cannot be read by torch: "),
            (b"\x80\x02", "w.pt cannot be read by torch: "),
        ],
    )
    def test_a_broken_file_is_one_line(self, desk, content, told):
        desk.write("w.pt", content)
        error = desk.refused({**use(desk), "path": "w.pt", "sha256": both(desk, "w.pt", "net.py")}, **DATA)
        assert error.exit_code == 4
        assert told in str(error)
        assert len(error.mistakes) == 1

    def test_an_archive_that_is_not_whole_is_one_line(self, desk):
        buffer = io.BytesIO()
        torch.save(_net().state_dict(), buffer)
        whole = buffer.getvalue()
        # The list of its files is what zipfile reads first; its end still says that this is an archive.
        at = whole.index(b"PK\x01\x02")
        desk.write("w.pt", whole[:at] + b"XX" + whole[at + 2 :])
        error = desk.refused({**use(desk), "path": "w.pt", "sha256": both(desk, "w.pt", "net.py")}, **DATA)
        assert (error.exit_code, len(error.mistakes)) == (4, 1)
        assert "w.pt is an archive that is not whole" in str(error)

    @pytest.mark.parametrize("first", [0x80, 0x50])
    def test_safetensors_are_told_by_more_than_their_first_byte(self, desk, first):
        # The length of the header stands first, and one in 32 of them begins as a pickle does.
        state, width = _net().state_dict(), 0
        path = desk.folder / "v.safetensors"
        while not path.exists() or path.read_bytes()[0] != first:
            save_file(state, path, metadata={"of": "x" * width})
            width += 8
        found = {**use(desk), "path": path.name, "sha256": both(desk, path.name, "net.py")}
        subject = desk.load(found, **DATA)
        assert subject.model.format == "torch"

    def test_what_does_not_fit_is_told_by_name_and_shape(self, desk):
        state = _net().state_dict()
        del state["body.0.bias"]
        state["tail.weight"] = torch.zeros(2)
        state["head.bias"] = torch.zeros(3)
        found = use(desk)
        save_file(state, desk.folder / "w.safetensors")
        error = desk.refused({**found, "sha256": both(desk, "w.safetensors", "net.py")}, **DATA)
        assert error.exit_code == 2
        assert str(error).endswith(
            "the weights of w.safetensors are not those of net.py:build: 1 missing (body.0.bias); 1 unknown to it "
            "(tail.weight); 1 of another shape (head.bias: 3 in the file, 2 in the network)"
        )


@pytest.mark.usefixtures("table")
class TestTrust:
    def test_code_is_vouched_for_in_writing(self, desk):
        found = use(desk)
        sha = found.pop("sha256")
        told = str(desk.refused({**found, "trust": False}, **DATA))
        assert "trust: true" in told
        assert f"write sha256: {sha}: of the file that runs, or of weights and entry together" in told

    def test_the_reader_of_specs_prints_the_same_digest(self, desk):
        from xai_audit.errors import SpecError
        from xai_audit.reading import read_spec

        sha = use(desk)["sha256"]
        spec = (
            "system: {name: n}\nmodel: {path: w.safetensors, entry: 'net.py:build'}\n"
            "data: {test: {path: t.csv}, target: y}\nmetrics: [accuracy]\n"
        )
        desk.write("audit.yaml", spec)
        with pytest.raises(SpecError) as caught:
            read_spec(desk.folder / "audit.yaml")
        (line,) = map(str, caught.value.mistakes)
        assert "audit.yaml:2:8: model: format torch runs code when it is opened" in line
        assert f"write `trust: true` and `sha256: {sha}` under model" in line
        desk.write(
            "audit.yaml", spec.replace("'net.py:build'", f"'net.py:build', trust: true, sha256: {sha}")
        )
        assert read_spec(desk.folder / "audit.yaml").model.format == "torch"

    def test_other_bytes_are_exit_4(self, desk):
        error = desk.refused({**use(desk), "sha256": "0" * 64}, **DATA)
        assert error.exit_code == 4
        assert "weights and entry together have sha256 " in str(error)

    def test_changed_code_or_weights_alone_are_found(self, desk):
        found = use(desk)
        desk.write("net.py", NET + "\n")
        assert desk.refused(found, **DATA).exit_code == 4
        desk.write("net.py", NET)
        data = (desk.folder / "w.safetensors").read_bytes()
        desk.write("w.safetensors", data[:-1] + bytes([data[-1] ^ 1]))
        assert desk.refused(found, **DATA).exit_code == 4


@pytest.mark.parametrize(
    ("change", "told", "code"),
    [
        ({"entry": "net.py:nothing"}, "net.py has no function 'nothing'", 2),
        ({"entry": "net.py:asks"}, "'asks' in net.py, called without arguments, fails: TypeError", 2),
        ({"entry": "net.py:number"}, "'number' in net.py gives int, and a torch.nn.Module is asked", 2),
        ({"entry": "absent.py:build"}, "no such file: absent.py", 4),
        ({"entry": "net.py"}, "module.py:function is asked, not 'net.py'", 2),
        ({"entry": "no.module.here:build"}, "no module 'no.module.here' on this machine", 4),
        ({"path": "absent.safetensors"}, "no such file: absent.safetensors", 4),
        ({"entry": "net.py:restless"}, "gives other outputs each time it is asked; is dropout on", 2),
        (
            {"preprocess": {"tokenizer": "t.json"}},
            "this is about texts, and the test data are a table; name the",
            2,
        ),
        (
            {"preprocess": {"size": 3}},
            "this is about pictures, and the test data are a table; a folder of",
            2,
        ),
        ({"outputs": "probabilities"}, "probabilities are stated, and those of the test rows lie between", 2),
        ({"outputs": "margins"}, "margins of two classes are one output a row; the network gives two", 2),
        ({"classes": [0, 1, 2]}, "the network gives 2 outputs a row for 3 classes; state model: classes", 2),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(desk, table, change, told, code):
    found = {**use(desk), **change}
    names = [found["path"], found["entry"].partition(":")[0]]
    if all((desk.folder / name).is_file() for name in names):
        found["sha256"] = both(desk, *names)
    error = desk.refused(found, **DATA)
    assert told in str(error)
    assert len(error.mistakes) == 1
    assert error.exit_code == code


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there_is_a_mistake(desk, table):
    error = desk.refused(use(desk, device="cuda"), **DATA)
    assert "torch finds no CUDA device here; write device: auto or cpu" in str(error)
    assert error.exit_code == 2
    assert desk.load(use(desk, device="auto"), **DATA).model.details["device"] == "cpu"


def test_bounded_outputs_that_do_not_add_up_ask_for_a_word(desk, table):
    desk.write("net.py", NET + "\ndef odd():\n    return torch.nn.Sequential(Net(), torch.nn.Sigmoid())\n")
    save_file({f"0.{k}": v for k, v in _net().state_dict().items()}, desk.folder / "w.safetensors")
    found = {
        "path": "w.safetensors", "entry": "net.py:odd", "trust": True,
        "sha256": both(desk, "w.safetensors", "net.py"),
    }  # fmt: skip
    assert "lie in [0, 1] and do not add up to one: state outputs" in str(desk.refused(found, **DATA))
    assert desk.load({**found, "outputs": "logits"}, **DATA).probabilities


def test_text_in_a_table_is_told_at_its_column(desk, table):
    desk.csv("t.csv", table.assign(a="word"))
    told = str(desk.refused(use(desk), **DATA))
    assert 't.csv:"a": a column of text, and a network takes numbers alone' in told


@pytest.mark.usefixtures("table")
class TestPrograms:
    """Exported programs and TorchScript: no entry, the module itself."""

    @staticmethod
    def _exported(desk, *, dynamic: bool) -> dict:
        rows = {0: torch.export.Dim("rows", min=1, max=4096)} if dynamic else None
        shapes = {"x": rows} if dynamic else None
        program = unwarned(torch.export.export, _net(), (torch.zeros(7, 2),), dynamic_shapes=shapes)
        unwarned(torch.export.save, program, desk.folder / "net.pt2")
        return {"path": "net.pt2", "trust": True, "sha256": digest.of_file(desk.folder / "net.pt2")}

    @staticmethod
    def _scripted(desk, name: str = "net.ts") -> dict:
        unwarned(torch.jit.save, unwarned(torch.jit.trace, _net(), torch.zeros(3, 2)), desk.folder / name)
        return {"path": name, "trust": True, "sha256": digest.of_file(desk.folder / name)}

    def test_an_exported_program_keeps_its_module_paths(self, desk):
        subject = desk.load(self._exported(desk, dynamic=True), **DATA)
        plain = desk.load(use(desk), **DATA)
        assert np.allclose(subject.scores, plain.scores, atol=1e-6)
        network, site = subject.model.network, Site("body.1")
        frame = subject.test.frame.head(40)
        mine, its = (one.model.network.activations(frame, [site])[site] for one in (subject, plain))
        assert np.allclose(mine, its, atol=1e-6)
        batch = network.reader.batch(frame)
        ran = network.run(batch, capture=[Site("body.0"), Site("", "in")], grad_of=1)
        other = plain.model.network.run(batch, capture=[Site("body.0"), Site("", "in")], grad_of=1)
        for port in (Site("body.0"), Site("", "in")):
            assert torch.allclose(ran.gradients[port], other.gradients[port], atol=1e-6)
        twin = network.twin(np.random.default_rng(0))
        assert not np.allclose(twin.outputs(frame), network.outputs(frame), atol=1e-3)
        again = pickle.loads(cloudpickle.dumps(subject.model))
        assert np.array_equal(again.scores(frame), subject.model.scores(frame))

    def test_an_exported_program_of_one_batch_size_is_asked_in_such_batches(self, desk):
        subject = desk.load(self._exported(desk, dynamic=False), **DATA)
        assert np.allclose(subject.scores, desk.load(use(desk), **DATA).scores, atol=1e-6)
        assert subject.model.network is None
        assert any("exported for exactly 7 rows at a time" in note for note in subject.notes)

    def test_torchscript_predicts_and_has_a_gradient_at_its_input_alone(self, desk):
        subject = desk.load(self._scripted(desk), **DATA)
        plain = desk.load(use(desk), **DATA)
        assert np.allclose(subject.scores, plain.scores, atol=1e-6)
        network = subject.model.network
        assert network.sites() == []
        with pytest.raises(MethodError, match=r"body\.0: TorchScript hides its modules"):
            network.check(Site("body.0"))
        batch = network.reader.batch(subject.test.frame.head(9))
        with pytest.raises(MethodError, match="TorchScript hides its modules"):
            network.run(batch, capture=[Site("body.0")])
        ran = network.run(batch, capture=[Site("", "in")], grad_of=1)
        other = plain.model.network.run(batch, capture=[Site("", "in")], grad_of=1)
        assert torch.allclose(ran.gradients[Site("", "in")], other.gradients[Site("", "in")], atol=1e-6)
        assert any("methods that look inside are skipped" in note for note in subject.notes)
        assert not np.allclose(
            network.twin(np.random.default_rng(0)).outputs(subject.test.frame),
            network.outputs(subject.test.frame),
        )
        again = pickle.loads(cloudpickle.dumps(subject.model))
        assert np.array_equal(again.scores(subject.test.frame), subject.model.scores(subject.test.frame))

    def test_a_pt_file_is_known_by_what_is_in_it(self, desk):
        subject = desk.load(self._scripted(desk, "net.pt"), **DATA)
        assert subject.model.details["type"] == "TorchScript"
        torch.save(_net().state_dict(), desk.folder / "w.pt")
        alone = {"path": "w.pt", "trust": True, "sha256": digest.of_file(desk.folder / "w.pt")}
        assert "w.pt holds weights and no network; name what builds it" in str(desk.refused(alone, **DATA))
        odd = {**self._scripted(desk), "entry": "net.py:build", "sha256": both(desk, "net.ts", "net.py")}
        assert "net.ts holds the whole network; entry is for weights alone" in str(desk.refused(odd, **DATA))

    def test_they_are_vouched_for_too(self, desk):
        for found in (self._exported(desk, dynamic=True), self._scripted(desk)):
            told = str(desk.refused({**found, "trust": False}, **DATA))
            assert "a torch network runs code when it is opened" in told


CNN = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 6, 5)
        self.pool1 = torch.nn.MaxPool2d(2)
        self.conv2 = torch.nn.Conv2d(6, 16, 5)
        self.pool2 = torch.nn.MaxPool2d(2)
        self.fc1 = torch.nn.Linear(400, 120)
        self.fc2 = torch.nn.Linear(120, 84)
        self.fc3 = torch.nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool1(torch.relu(self.conv1(x)))
        x = self.pool2(torch.relu(self.conv2(x))).flatten(1)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))
"""


def test_the_cifar_network_is_right_as_often_as_published(desk, shared_data):
    source = shared_data / "img_cifar10_test1000"
    with np.load(source / "captum_cifar_lenet_weights.npz") as held:
        save_file({name: torch.from_numpy(held[name]) for name in held.files}, desk.folder / "w.safetensors")
    with np.load(source / "cifar10_test1000.npz") as held:
        np.savez(desk.folder / "t.npz", images=held["images"], label=held["labels"])
    classes = json.loads((source / "classes.json").read_text())
    desk.write("net.py", CNN)
    subject = desk.load(
        {
            "path": "w.safetensors",
            "entry": "net.py:Net",
            "trust": True,
            "sha256": both(desk, "w.safetensors", "net.py"),
            "preprocess": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        },
        test={"path": "t.npz"},
        target="label",
    )
    assert subject.modality == "image"
    assert subject.classes == tuple(range(len(classes)))
    right = subject.prediction == subject.test.target
    assert right.mean() == pytest.approx(0.577, abs=1e-9)
    by_class = [round(float(right[subject.test.target == k].mean()), 2) for k in range(10)]
    assert by_class == [0.37, 0.74, 0.34, 0.41, 0.56, 0.54, 0.67, 0.68, 0.68, 0.78]
    assert subject.model.network.reader.kind == "image"
    found = subject.model.network.activations(subject.test.frame.head(33), [Site("conv2"), Site("fc1")])
    assert [one.shape for one in found.values()] == [(33, 16, 10, 10), (33, 120)]


TEXTS = {"test": {"path": "t.jsonl", "text": "t"}, "target": "y"}


@pytest.mark.usefixtures("texts")
class TestTexts:
    NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(9, 4)
        self.head = torch.nn.Linear(4, 2)
    def forward(self, input_ids, attention_mask):
        seen = self.words(input_ids) * attention_mask[..., None]
        return self.head(seen.sum(1) / attention_mask.sum(1, keepdim=True))

class Maskless(Net):
    def forward(self, ids):
        return self.head(self.words(ids).mean(1))
"""

    @staticmethod
    def _tokenizer(folder: Path) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        words = ["[PAD]", "[UNK]", "a", "good", "bad", "film", "very", "not", "."]
        made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "[UNK]"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.save(str(folder / "tokenizer.json"))

    @pytest.fixture
    def texts(self, desk):
        rng = np.random.default_rng(4)
        words = ["a", "good", "bad", "film", "very", "not", "."]
        rows = [" ".join(rng.choice(words, rng.integers(1, 30))) for _ in range(120)]
        labels = ["+" if row.count("good") > row.count("bad") else "-" for row in rows]
        desk.write(
            "t.jsonl", "".join(json.dumps({"t": t, "y": y}) + "\n" for t, y in zip(rows, labels, strict=True))
        )
        self._tokenizer(desk.folder)
        desk.write("net.py", self.NET)
        space: dict = {}
        exec(self.NET, space)
        torch.manual_seed(0)
        self.made = space["Net"]()
        self.made.head.bias.data -= 1  # no row looks like probabilities
        save_file(self.made.state_dict(), desk.folder / "w.safetensors")
        return rows

    def _use(self, desk, function: str = "Net", **preprocess):
        return {
            "path": "w.safetensors", "entry": f"net.py:{function}", "trust": True,
            "sha256": both(desk, "w.safetensors", "net.py"),
            "preprocess": {"tokenizer": "tokenizer.json", **preprocess},
        }  # fmt: skip

    def test_texts_become_ids_and_mask(self, desk):
        subject = desk.load(self._use(desk), **TEXTS)
        assert subject.modality == "text"
        reader = subject.model.network.reader
        assert (reader.column, reader.names, reader.pad) == ("t", ("input_ids", "attention_mask"), 0)
        words = ["[PAD]", "[UNK]", "a", "good", "bad", "film", "very", "not", "."]
        for row in range(0, 120, 11):
            ids = torch.tensor([[words.index(word) for word in subject.test.frame.t[row].split()]])
            with torch.no_grad():
                alone = torch.softmax(self.made(ids, torch.ones_like(ids)), 1)[0].double().numpy()
            assert np.allclose(subject.scores[row], alone, atol=1e-6)

    def test_what_is_cut_is_counted(self, desk, texts):
        notes = desk.load(self._use(desk, max_length=10), **TEXTS).notes
        longer = sum(len(text.split()) > 10 for text in texts)
        assert (
            f"{longer} of 120 test texts are longer than 10 tokens; the model reads their beginning alone"
            in notes
        )

    def test_a_network_without_a_mask_is_given_one_length(self, desk):
        told = str(desk.refused(self._use(desk, "Maskless"), **TEXTS))
        assert "takes no attention mask and would see how texts are padded; state max_length" in told
        subject = desk.load(self._use(desk, "Maskless", max_length=40), **TEXTS)
        reader = subject.model.network.reader
        assert reader.names == ("ids",)
        assert reader.batch(subject.test.frame.head(2))["ids"].shape == (2, 40)

    @pytest.mark.parametrize(
        ("preprocess", "told", "code"),
        [
            (None, "texts need a tokenizer; write preprocess: {tokenizer: tokenizer.json}", 2),
            ({"tokenizer": "absent.json"}, "no such file: absent.json", 4),
            ({"tokenizer": "net.py"}, "net.py cannot be read as a tokenizer.json", 4),
            (
                {"tokenizer": "tokenizer.json", "size": 8},
                "this is about pictures, and the test data are texts",
                2,
            ),
        ],
    )
    def test_mistakes(self, desk, preprocess, told, code):
        found = {**self._use(desk), "preprocess": preprocess}
        error = desk.refused(found, **TEXTS)
        assert told in str(error)
        assert error.exit_code == code
        assert len(error.mistakes) == 1

    def test_an_exported_program_of_texts(self, desk):
        rows, length = torch.export.Dim("rows", max=512), torch.export.Dim("length", max=512)
        shape = {0: rows, 1: length}
        ones = torch.ones(3, 5, dtype=torch.int64)
        shapes = {"input_ids": shape, "attention_mask": shape}
        # A tensor given twice would be exported as one input.
        mask = {"attention_mask": ones.clone()}
        exported = unwarned(torch.export.export, self.made, (ones,), mask, dynamic_shapes=shapes)
        unwarned(torch.export.save, exported, desk.folder / "net.pt2")
        found = {"path": "net.pt2", "trust": True, "sha256": digest.of_file(desk.folder / "net.pt2")}
        found["preprocess"] = {"tokenizer": "tokenizer.json"}
        subject, plain = desk.load(found, **TEXTS), desk.load(self._use(desk), **TEXTS)
        assert np.allclose(subject.scores, plain.scores, atol=1e-6)
        assert {site.path for site in subject.model.network.sites()} == {"words", "head"}
