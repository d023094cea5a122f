"""What flows as vectors, and edits that hold it at a level: against the module taken apart by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests import deep  # noqa: E402
from tests.explainers import concept_beds as beds  # noqa: E402
from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic import flows  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402


def unit(d, seed=0):
    drawn = np.random.default_rng(seed).normal(size=d)
    return drawn / np.linalg.norm(drawn)


def kinds():
    rng = np.random.default_rng(1)
    bed = beds.planted(0)
    yield "table", bed.network, bed.frame(40), flows.Flow(Site.parse("mix"))
    pictures = beds.pictures(rng, 40)
    yield "picture", beds.image_network(), pictures, flows.Flow(Site.parse("first"))
    yield "channels", beds.image_network(), pictures, flows.Flow(Site.parse("first"), pooled=True)
    yield "words", beds.text_network(), beds.texts(rng, 40), flows.Flow(Site.parse("value"), pooled=True)
    yield "first word", beds.text_network(), beds.texts(rng, 40), flows.Flow(Site.parse("value@pos=0"))


KINDS = {name: rest for name, *rest in kinds()}


@pytest.mark.parametrize("kind", KINDS)
def test_held_rows_stand_at_the_level_and_nowhere_else_have_they_moved(kind):
    network, frame, one = KINDS[kind]
    _, batch = next(iter(network.batches(frame)))
    mask = flows.mask_of(batch)
    before = one.vectors(network.run(batch, capture=[one.site]).captured[one.site], mask).double().numpy()
    along = unit(before.shape[1])
    edit = one.held(torch.from_numpy(along), 0.7, mask)
    after = one.vectors(network.run(batch, capture=[one.site], edits=[edit]).captured[one.site], mask)
    after = after.double().numpy()
    np.testing.assert_allclose(after @ along, 0.7, atol=1e-5)
    flat = [rows - np.outer(rows @ along, along) for rows in (before, after)]
    np.testing.assert_allclose(flat[1], flat[0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_score_gradients_are_the_slopes_of_moving_every_row(kind):
    network, frame, one = KINDS[kind]
    batches = flows.built(network, frame)
    slope = flows.mean_score_gradients(network, batches, [one], 1)[one].mean(axis=0)
    along, step = unit(len(slope), 3), 1e-2
    moved = []
    for sign in (-1, 1):
        parts = []
        for _, batch in batches:
            here = one.vectors(
                network.run(batch, capture=[one.site]).captured[one.site], flows.mask_of(batch)
            )
            # Each row from where it stands: rows one by one, since a level holds for a batch.
            for row in range(len(here)):
                alone = (
                    {name: value[[row]] for name, value in batch.items()}
                    if isinstance(batch, dict)
                    else batch[[row]]
                )
                level = float(here[row].double() @ torch.from_numpy(along)) + sign * step
                edit = one.held(torch.from_numpy(along), level, flows.mask_of(alone))
                parts.append(float(flows.scores(network, network.run(alone, edits=[edit]).outputs)[0, 1]))
        moved.append(np.mean(parts))
    assert (moved[1] - moved[0]) / (2 * step) == pytest.approx(slope @ along, rel=0.02, abs=2e-4)


def test_halves_of_the_inputs_average_to_all_of_them():
    network, frame, one = KINDS["table"]
    halves = flows.mean_score_gradients(network, flows.built(network, frame), [one], 1)[one]
    even = flows.mean_score_gradients(network, flows.built(network, frame.iloc[::2]), [one], 1)[one].mean(
        axis=0
    )
    np.testing.assert_allclose(halves[0], even, rtol=1e-4, atol=1e-7)


def test_class_gradients_of_two_outputs_of_one_and_of_each_row():
    network, frame, one = KINDS["picture"]
    classes = np.tile([0, 1], 20)
    found = flows.class_gradients(network, frame, [one], classes)[one]
    for of in (0, 1):
        rows = np.flatnonzero(classes == of)[:4]
        for row in rows:
            batch = network.reader.batch(frame.iloc[[row]])
            alone = network.run(batch, capture=[one.site], grad_of=of).gradients[one.site]
            np.testing.assert_allclose(found[row], alone.flatten().numpy(), atol=1e-5)
    table, rows, one = KINDS["table"]
    second, first = (
        flows.class_gradients(table, rows, [one], np.full(40, of, dtype=np.int64))[one] for of in (1, 0)
    )
    np.testing.assert_array_equal(first, -second)
    assert np.abs(second).max() > 0


def test_padding_is_no_word():
    network, frame, one = KINDS["words"]
    together = flows.activations(network, frame, [one])[one]
    alone = np.concatenate(
        [flows.activations(network, frame.iloc[[row]], [one])[one] for row in range(len(frame))]
    )
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_positions_of_texts_are_averaged_unless_said_otherwise():
    network, frame, _ = KINDS["words"]
    assert flows.flow(network, frame, Site.parse("value"), pooled=None).pooled
    assert not flows.flow(network, frame, Site.parse("value@pos=0"), pooled=None).pooled
    assert not flows.flow(network, frame, Site.parse("inner"), pooled=None).pooled
    assert not flows.flow(KINDS["picture"][0], KINDS["picture"][1], Site.parse("first"), pooled=None).pooled
    with pytest.raises(MethodError, match="name a position"):
        flows.activations(
            network, deep.text_frame(["w1"] * 32 + ["w1 w2 w3"]), [flows.Flow(Site.parse("value"))]
        )


def test_a_site_too_large_to_keep_is_refused(monkeypatch):
    network, frame, one = KINDS["picture"]
    monkeypatch.setattr(flows, "LARGEST", 1000)
    with pytest.raises(MethodError, match="pool: true"):
        flows.activations(network, frame, [one])


def test_one_score_for_two_classes_is_two_scores():
    network = Network(torch.nn.Identity(), deep.TableReader(("a",)), link="none")
    found = flows.scores(network, torch.tensor([[0.2], [0.9]]))
    np.testing.assert_allclose(found.numpy(), [[0.8, 0.2], [0.1, 0.9]], atol=1e-7)
