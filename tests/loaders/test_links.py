"""What outputs are, read off the rows or stated, and the scores they come to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xai_audit.loaders.links import linked, margins, settled
from xai_audit.loaders.mistakes import Mistakes
from xai_audit.spec import Spec

LOGITS = np.array([[3.0, -1.0], [0.5, 2.0]])
CHANCES = np.array([[0.25, 0.75], [1.0, 0.0]])


def mistakes() -> Mistakes:
    return Mistakes(
        Spec(system={"name": "s"}, model={"path": "m.pt"}, data={"test": {"path": "t.csv"}}, file="a.yaml")
    )


@pytest.mark.parametrize(
    ("outputs", "k", "stated", "link", "output"),
    [
        (LOGITS, 2, None, "softmax", "probabilities"),
        (LOGITS[:, :1], 2, None, "sigmoid", "probabilities"),
        (CHANCES, 2, None, "none", "probabilities"),
        (CHANCES[:, :1], 2, None, "pair", "probabilities"),
        (CHANCES, 2, "logits", "softmax", "probabilities"),
        (LOGITS[:, :1], 2, "margins", "sides", "decision"),
        (np.ones((2, 3)) * 4, 3, "margins", "none", "decision"),
        (CHANCES[:, :1], 2, "probabilities", "pair", "probabilities"),
    ],
)
def test_the_link(outputs, k, stated, link, output):
    held = mistakes()
    found = settled(outputs, k, stated, held)
    assert found[:2] == (link, output)
    assert bool(found[2]) == (stated is None)  # what was decided is said, what was stated is not
    assert not held.found


@pytest.mark.parametrize(
    ("outputs", "k", "stated", "told"),
    [
        (
            CHANCES * 0.9,
            2,
            None,
            "model.outputs: the network's outputs lie in [0, 1] and do not add up to one",
        ),
        (CHANCES * 0.9, 2, "probabilities", "those of the test rows add up to between 0.9 and 0.9"),
        (LOGITS, 2, "probabilities", "those of the test rows lie between -1 and 3"),
        (LOGITS, 2, "margins", "the network gives two: state logits"),
        (
            LOGITS,
            3,
            None,
            "model.classes: the network gives 2 outputs a row for 3 classes; state model: classes",
        ),
        (LOGITS[:, :1], 3, None, "the network gives 1 outputs a row for 3 classes"),
    ],
)
def test_what_cannot_be_is_one_mistake(outputs, k, stated, told):
    held = mistakes()
    settled(outputs, k, stated, held)
    (line,) = map(str, held.told())
    assert told in line


numbers = arrays(np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-50, 50))


@settings(deadline=None)
@given(numbers, st.sampled_from(["softmax", "none"]))
def test_scores_are_those_of_the_network(outputs, link):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from xai_audit.mechanistic.network import Network

    network = Network(torch.nn.Linear(1, 1), link=link)
    assert np.allclose(linked(outputs, link), network.linked(torch.from_numpy(outputs)), atol=1e-12)
    for one in ("sigmoid", "pair", "sides"):
        network.link = one
        assert np.allclose(
            linked(outputs[:, :1], one), network.linked(torch.from_numpy(outputs[:, :1])), atol=1e-12
        )


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.just(2)), elements=st.floats(-20, 20)))
def test_margins_of_two_classes_are_log_odds(outputs):
    for values, link in ((outputs, "softmax"), (outputs[:, :1], "sigmoid")):
        margin, scores = margins(values, link), linked(values, link)
        assert np.allclose(margin[:, 0], -margin[:, 1])
        assert np.allclose(1 / (1 + np.exp(-margin)), scores, atol=1e-12)
    assert margins(outputs, "none") is None
    assert margins(outputs[:, :1], "pair") is None
