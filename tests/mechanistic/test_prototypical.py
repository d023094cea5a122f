import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic import episodes as ep  # noqa: E402
from xai_audit.mechanistic import prototypical as pr  # noqa: E402


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussians(classes, each, generator, *, first=0):
    """Class means in 3 of 12 directions, large noise that means nothing in the other 9."""
    centres = torch.randn(classes, 3, generator=generator) * 2
    labels = torch.arange(classes).repeat_interleave(each)
    told = centres[labels] + torch.randn(len(labels), 3, generator=generator)
    noise = 6 * torch.randn(len(labels), 9, generator=generator)
    return ep.Pool(torch.cat([told, noise], dim=1), labels + first), centres


def test_squared_distances_and_means_are_their_formulas():
    a, b = torch.randn(7, 4, generator=seeded()), torch.randn(3, 4, generator=seeded(1))
    wanted = ((a[:, None] - b[None]) ** 2).sum(dim=2)
    assert torch.allclose(pr.squared_distances(a, b), wanted, atol=1e-5)
    labels = torch.tensor([5, 2, 5, 2, 5, 9, 9])
    classes, means = pr.class_means(a, labels)
    assert classes.tolist() == [2, 5, 9]
    assert torch.allclose(means, torch.stack([a[labels == one].mean(dim=0) for one in (2, 5, 9)]), atol=1e-6)


def test_probabilities_are_a_softmax_over_negative_squared_distances():
    support, queries = torch.randn(6, 4, generator=seeded()), torch.randn(5, 4, generator=seeded(1))
    labels = torch.tensor([0, 0, 1, 1, 4, 4])
    found = pr.classify(None, support, labels, queries)
    means = torch.stack([support[labels == one].mean(dim=0) for one in (0, 1, 4)])
    scores = torch.exp(-((queries[:, None] - means[None]) ** 2).sum(dim=2))
    assert torch.allclose(found.probabilities, scores / scores.sum(dim=1, keepdim=True), atol=1e-5)
    assert found.labels.tolist() == torch.tensor([0, 1, 4])[scores.argmax(dim=1)].tolist()


def test_the_episode_loss_is_the_mean_over_its_splits():
    embedded = torch.randn(4, 5, 3, generator=seeded())
    one_by_one = []
    for step in range(5):
        turned = embedded.roll(-step, dims=1)
        means = turned[:, :2].mean(dim=1)
        terms = [
            -torch.log_softmax(-((turned[one, place] - means) ** 2).sum(dim=1), dim=0)[one]
            for one in range(4)
            for place in range(2, 5)
        ]
        one_by_one.append(torch.stack(terms).mean())
    assert pr.episode_loss(embedded, 2)[0].item() == pytest.approx(one_by_one[0].item(), rel=1e-5)
    assert pr.episode_loss(embedded, 2, splits=5)[0].item() == pytest.approx(
        torch.stack(one_by_one).mean().item(), rel=1e-5
    )
    with pytest.raises(MethodError):
        pr.episode_loss(embedded, 5)


def test_a_trained_head_is_nearly_as_good_as_the_rule_that_knows_the_truth():
    generator = seeded(3)
    pool, _ = gaussians(60, 30, generator)
    fresh, centres = gaussians(20, 200, generator, first=100)
    torch.manual_seed(0)
    head = torch.nn.Linear(12, 3)
    pr.fit(head, pool, pr.Training(ep.Plan(10, 5, 5), splits=5, episodes=250, rate=0.03), generator)
    embedded, code = pr.embed(head, fresh.inputs), fresh.labels - 100
    members = fresh.members()
    ours, bayes, raw = [], [], []
    for index in ep.drawn_many(members, ep.Plan(5, 50, 50), 60, generator):
        truth, queries = code[index[:, 0]], index[:, 50:].reshape(-1)
        true = code[queries]
        for space, found in ((embedded, ours), (fresh.inputs, raw)):
            means = space[index[:, :50]].mean(dim=1)
            said = truth[pr.squared_distances(space[queries], means).argmin(dim=1)]
            found.append((said == true).double().mean().item())
        known = pr.squared_distances(fresh.inputs[queries, :3], centres[truth])
        bayes.append((truth[known.argmin(dim=1)] == true).double().mean().item())
    assert np.mean(ours) >= 0.99 * np.mean(bayes)
    assert np.mean(raw) < 0.97 * np.mean(bayes)


def test_training_is_the_same_for_the_same_generator_and_leaves_the_global_one_alone():
    pool, _ = gaussians(12, 10, seeded(1))
    heads = []
    for _ in range(2):
        torch.manual_seed(5)
        head = torch.nn.Linear(12, 2)
        before = torch.random.get_rng_state()
        trained = pr.fit(head, pool, pr.Training(ep.Plan(5, 1, 2), episodes=30), seeded(2))
        assert torch.equal(before, torch.random.get_rng_state())
        heads.append((head.weight.clone(), trained.losses))
    assert torch.equal(heads[0][0], heads[1][0])
    assert heads[0][1] == heads[1][1]
    assert trained.stopped == "done"


def test_the_weights_best_on_validation_classes_are_kept():
    pool, _ = gaussians(20, 12, seeded(1))
    other, _ = gaussians(8, 12, seeded(2), first=50)
    torch.manual_seed(0)
    head = torch.nn.Linear(12, 3)
    training = pr.Training(ep.Plan(5, 1, 5), episodes=400, rate=0.05, every=5, patience=3)
    trained = pr.fit(head, pool, training, seeded(3), validation=other)
    best = max(trained.validation, key=lambda look: look[1])
    assert trained.best == best[0]
    assert trained.stopped == "patience"
    assert trained.episodes == best[0] + 15
    assert not head.training
    with pytest.raises(MethodError, match="others"):
        pr.fit(head, pool, training, seeded(), validation=pool)


def test_cpu_time_ends_training():
    pool, _ = gaussians(12, 10, seeded(1))
    head = torch.nn.Linear(12, 2)
    trained = pr.fit(
        head, pool, pr.Training(ep.Plan(5, 1, 2), episodes=10**6, seconds=0.05), seeded(), validation=None
    )
    assert trained.stopped == "seconds"
    assert trained.episodes < 10**6


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_picture_is_embedded_alike_whatever_stands_beside_it(norm):
    torch.manual_seed(0)
    encoder = pr.conv4(norm=norm)
    pictures = torch.rand(9, 1, 28, 28, generator=seeded())
    encoder.train()
    encoder(pictures)
    together = pr.embed(encoder, pictures)
    assert encoder.training
    assert together.shape == (9, 64)
    assert torch.allclose(together[3], pr.embed(encoder, pictures[3:4])[0], atol=1e-5)


def test_the_encoder_is_the_published_one():
    torch.manual_seed(0)
    encoder = pr.conv4().eval()
    picture = torch.rand(2, 1, 28, 28, generator=seeded())
    value = picture
    for place in range(0, 16, 4):
        value = torch.max_pool2d(torch.relu(encoder[place + 1](encoder[place](value))), 2)
    assert torch.allclose(encoder(picture), value.flatten(1), atol=1e-6)
    assert sum(one.numel() for one in encoder.parameters()) == 64 * 9 + 3 * 64 * 64 * 9 + 4 * 2 * 64


def test_a_loss_that_is_not_finite_is_an_error():
    pool, _ = gaussians(6, 6, seeded())
    pool.inputs[:] = float("inf")
    with pytest.raises(MethodError, match="loss"):
        pr.fit(torch.nn.Linear(12, 2), pool, pr.Training(ep.Plan(3, 1, 2), episodes=3), seeded())
