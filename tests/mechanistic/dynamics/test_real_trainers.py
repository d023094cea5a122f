"""The recorder in the real trainers of Lightning and of transformers, where they are installed."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, Dataset, TensorDataset  # noqa: E402

from xai_audit.mechanistic.dynamics.measures import Examples  # noqa: E402
from xai_audit.mechanistic.dynamics.recorder import Recorder  # noqa: E402

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(3))
Y = (X[:, 0] > 0).long()


@pytest.fixture(autouse=True)
def _their_warnings():
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        yield


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))


def recorder(**more) -> Recorder:
    return Recorder(train=Examples(X[:48], Y[:48]), every=4, at_most=None, **more)


# ------------------------------------------------------------------------------------------------- Lightning
def lit(lightning):
    class Lit(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Lit()


def fitted(folder, callbacks, *, resume=None, epochs=3, **more):
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")
    module = lit(lightning)
    torch.manual_seed(2)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=callbacks, logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, **more,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=8), ckpt_path=resume)
    return module, trainer


def test_lightning_is_measured_and_no_bit_of_it_changes(tmp_path):
    taken = recorder()
    with_it, trainer = fitted(tmp_path, [taken.lightning()])
    without, _ = fitted(tmp_path, [])
    assert taken.series().steps.tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert all(torch.equal(a, b) for a, b in zip(with_it.parameters(), without.parameters(), strict=True))
    assert with_it.training
    expected = nn.functional.cross_entropy(with_it.eval()(X[:48]).double(), Y[:48])
    assert taken.records[24]["train_loss"] == pytest.approx(float(expected.detach()))
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    again = recorder()
    fitted(tmp_path, [again.lightning()], resume=tmp_path / "kept.ckpt", epochs=4)
    assert again.series().steps.tolist() == [24, 28, 32]
    assert again.records[24] == taken.records[24]


def test_lightning_with_gathered_gradients_and_two_recorders(tmp_path):
    one, other = recorder(), recorder()
    fitted(tmp_path, [one.lightning(), other.lightning()], accumulate_grad_batches=2)
    assert one.series().steps.tolist() == other.series().steps.tolist() == [0, 4, 8, 12]


# ------------------------------------------------------------------------------------------------- transformers
class Rows(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, row):
        return {"x": X[row], "labels": Y[row]}


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x, labels=None):
        logits = self.net(x)
        return (
            {} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}
        )


def trained(folder, callbacks, *, resume=None, epochs=2, **more):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    module = Classifier()
    asked = transformers.TrainingArguments(
        str(folder), num_train_epochs=epochs, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        save_strategy="epoch", disable_tqdm=True, logging_strategy="no", seed=4, **more,
    )  # fmt: skip
    transformers.Trainer(module, asked, train_dataset=Rows(), callbacks=callbacks).train(resume)
    return module


def test_the_trainer_of_transformers_is_measured_and_no_bit_of_it_changes(tmp_path):
    def asked(module, inputs):
        return module.net(inputs)

    def of():
        return Recorder(train=Examples(X[:48], Y[:48], answer=asked), every=4, at_most=None)

    taken, more = of(), of()
    with_it, without = trained(tmp_path / "a", [taken.trainer()]), trained(tmp_path / "b", [])
    assert taken.series().steps.tolist() == [0, 4, 8, 12, 16]
    assert all(torch.equal(a, b) for a, b in zip(with_it.parameters(), without.parameters(), strict=True))
    trained(tmp_path / "a", [more.trainer()], resume=True, epochs=3)
    assert more.series().steps.tolist() == [16, 20, 24]
    assert more.records[16] == taken.records[16]


def test_the_trainer_of_transformers_with_gathered_gradients(tmp_path):
    taken = Recorder(also=lambda _: {"one": 1.0}, every=2, at_most=None)
    trained(tmp_path, [taken.trainer()], gradient_accumulation_steps=2)
    assert taken.series().steps.tolist() == [0, 2, 4, 6, 8]
