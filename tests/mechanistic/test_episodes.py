import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic.episodes import (  # noqa: E402
    Evaluation,
    Plan,
    Pool,
    distorted,
    drawn,
    evaluate,
    halves,
    rotated,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pool(classes=6, each=8, width=3):
    labels = torch.arange(classes).repeat_interleave(each)
    return Pool(torch.randn(len(labels), width, generator=seeded(1)), labels)


def test_an_episode_holds_distinct_examples_of_distinct_classes():
    one = pool()
    for seed in range(20):
        index = drawn(one.members(), Plan(4, 2, 3), seeded(seed))
        assert index.shape == (4, 5)
        labels = one.labels[index]
        assert (labels == labels[:, :1]).all()
        assert len(set(labels[:, 0].tolist())) == 4
        assert len(set(index.reshape(-1).tolist())) == 20


def test_too_small_a_pool_is_an_error():
    with pytest.raises(MethodError, match="6 of 6"):
        drawn(pool().members(), Plan(7, 1, 2), seeded())
    with pytest.raises(MethodError, match="0 of 6"):
        drawn(pool().members(), Plan(2, 5, 5), seeded())
    with pytest.raises(MethodError, match="at least two classes"):
        Plan(1, 1, 1)


def test_classes_never_stand_in_both_halves():
    left, right = halves(pool(), 0.34, seeded())
    assert not set(left.labels.tolist()) & set(right.labels.tolist())
    assert (len(left.labels), len(right.labels)) == (32, 16)


def test_four_turns_make_four_times_the_classes():
    pictures = torch.rand(4, 1, 5, 5, generator=seeded())
    turned = rotated(Pool(pictures, torch.tensor([7, 7, 9, 9])))
    assert turned.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    assert torch.equal(turned.inputs[4], torch.rot90(pictures[0], 1, dims=(1, 2)))
    assert torch.equal(torch.rot90(turned.inputs[12], 1, dims=(1, 2)), pictures[0])


def test_classes_apart_are_always_told_apart_and_classes_alike_by_chance():
    one = pool(5, 20)
    apart = evaluate(one.inputs + 100 * one.labels[:, None], one.labels, Plan(5, 1, 15), 20, seeded())
    assert apart.mean == 1
    assert apart.interval() == (1, 1)
    alike = evaluate(one.inputs, one.labels, Plan(5, 1, 15), 400, seeded())
    assert alike.mean == pytest.approx(0.2, abs=0.02)
    assert alike.n == 400
    assert alike.classes.shape == (400, 5)


def test_support_may_be_embedded_another_way():
    one = pool(5, 20)
    far = one.inputs + 100 * one.labels[:, None]
    turned = evaluate(far, one.labels, Plan(5, 1, 15), 10, seeded(), support=-far)
    assert turned.mean < 0.5


def test_the_interval_over_classes_holds_other_classes_and_that_over_episodes_does_not():
    # Each class is easy or hard; episodes of a handful of classes say little of the next handful.
    rng = np.random.default_rng(0)
    held = {"episodes": 0, "classes": 0}
    for _ in range(200):
        ease = rng.uniform(0.5, 1.0, 20)
        classes = np.array([rng.permutation(20)[:5] for _ in range(300)])
        found = Evaluation(ease[classes].mean(axis=1) + 0.02 * rng.normal(size=300), classes)
        for name, (low, high) in (
            ("episodes", found.interval()),
            ("classes", found.interval_over_classes()),
        ):
            held[name] += low <= 0.75 <= high
    assert held["classes"] >= 185
    assert held["episodes"] <= 100


def test_distortions_are_small_seeded_and_keep_the_shape():
    picture = torch.zeros(3, 1, 28, 28)
    picture[:, :, 8:20, 8:20] = 1
    one, two = (distorted(picture, seeded(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == picture.shape
    assert not torch.equal(one[0], one[1])
    assert one.sum().item() == pytest.approx(picture.sum().item(), rel=0.35)
    still = distorted(picture, seeded(), degrees=0, shear=0, scale=0, shift=0)
    assert torch.allclose(still, picture, atol=1e-5)
