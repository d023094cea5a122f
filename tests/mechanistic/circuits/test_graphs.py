"""Gates, units, nodes, latents, trained heads and specifications: each against what was planted."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.mechanistic.circuits import planted_features, repeats  # noqa: E402
from tests.mechanistic.circuits.gates import SHARE, gated  # noqa: E402
from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic.circuits import attribution, multiverse, patching  # noqa: E402
from xai_audit.mechanistic.circuits.features import (  # noqa: E402
    Coded,
    FeatureGraph,
    edge_effects,
    feature_circuit,
)
from xai_audit.mechanistic.circuits.nodes import NodeGraph, Nodes  # noqa: E402
from xai_audit.mechanistic.circuits.recovery import recovery, truth_of  # noqa: E402
from xai_audit.mechanistic.circuits.residual import ResidualGraph  # noqa: E402
from xai_audit.mechanistic.circuits.specs import edge_spec  # noqa: E402
from xai_audit.mechanistic.circuits.task import Task, divergence, log_probability, logit_difference, others  # noqa: E402
from xai_audit.mechanistic.circuits.units import stacked  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402


def test_gates_are_found_by_the_size_of_each_inputs_score_and_lost_by_the_signed_mean():
    ours, theirs = [], []
    for seed in range(3):
        made = gated(np.random.default_rng([7, seed]), rows=64)
        task, truth = made.task(), truth_of(made.graph, made.truth)
        assert len(truth) == 440
        exact = attribution.mean_absolute(patching.exact(task))
        assert exact[~truth].max() <= SHARE * exact[truth].min() * (1 + 1e-9)
        ours.append(recovery(attribution.mean_absolute(attribution.eap_ig(task)), truth).auroc)
        theirs.append(recovery(attribution.signed_mean(attribution.eap(task)), truth).auroc)
    assert min(ours) >= 0.95
    assert np.mean(ours) >= 0.99
    assert np.mean(theirs) < 0.95


def test_units_of_a_stack_are_exact_where_it_is_linear():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)).double().eval()
    graph = stacked(module)
    inputs, corrupted = torch.rand(6, 3).double(), torch.rand(6, 3).double()
    task = Task(graph, inputs, others(graph, inputs, corrupted, "resample"), lambda out, _: out[:, 0])
    exact, slopes = patching.exact(task), attribution.eap(task)
    assert slopes == pytest.approx(exact)
    first, last = module[0].weight.detach().numpy(), module[1].weight.detach().numpy()
    place = next(i for i, one in enumerate(graph.elements) if str(one) == "in.1 -> 0.2")
    change = (corrupted - inputs).numpy()[:, 1] * first[2, 1] * last[0, 2]
    assert exact[:, place] == pytest.approx(change)
    assert patching.serial(task) == pytest.approx(exact)


def test_a_stack_with_a_layer_that_mixes_units_is_refused():
    with pytest.raises(MethodError, match="BatchNorm1d"):
        stacked(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).eval())
    with pytest.raises(MethodError, match="no plain stack"):
        stacked(torch.nn.Linear(2, 2))


def test_nodes_of_a_picture_network_are_its_channels():
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2)
    ).eval()
    with torch.no_grad():
        module[3].weight[:, 36:] = 0  # only the first channel is read
    graph = NodeGraph(module, (Nodes(Site("1"), 4),), source=Site("", "in"))
    pictures = torch.rand(8, 1, 8, 8)
    task = Task(
        graph, pictures, others(graph, pictures, pictures.roll(1, 0), "resample"),
        logit_difference(torch.zeros(8, dtype=torch.int64), torch.ones(8, dtype=torch.int64)),
    )  # fmt: skip
    for found in (patching.exact(task), attribution.eap_ig(task), attribution.mask_gradient(task)):
        size = attribution.mean_absolute(found)
        assert size[0] > 0
        assert (size[1:] <= 1e-6 * size[0]).all()  # as many rows in a pass as sums round to
    assert task.measured(np.ones((1, 4)))[0] == pytest.approx(np.roll(task.full(), 1), abs=1e-5)


def test_metrics_of_outputs():
    outputs = torch.tensor([[1.0, 3.0], [2.0, 0.0]])
    where, answers = torch.arange(2), torch.tensor([1, 0])
    assert logit_difference(answers, 1 - answers)(outputs, where).tolist() == [2, 2]
    assert log_probability(answers)(outputs, where).exp() == pytest.approx(
        torch.tensor([1, 1]) / (1 + np.exp(-2))
    )
    assert divergence(outputs)(outputs, where).tolist() == [0, 0]
    assert (divergence(outputs)(outputs.flip(1), where) < 0).all()
    one = outputs[:, 1:] - outputs[:, :1]
    assert logit_difference(answers, answers)(one, where).tolist() == [2, 2]
    assert log_probability(answers)(one, where).tolist() == pytest.approx(
        log_probability(answers)(outputs, where).tolist()
    )


class Known:
    """The dictionary that made the toy: its directions, read as the toy reads them."""

    def __init__(self, directions):
        self.directions = directions

    def encode(self, x):
        return torch.relu(x @ self.directions.T - 0.35)

    def decode(self, f):
        return f @ self.directions


def test_latents_of_pictures_are_those_of_their_channels():
    torch.manual_seed(3)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(6, 4, 3),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 4 * 4, 2),
    ).eval()
    # As many places in a row as channels: taken along the wrong axis, it would go unnoticed.
    clean, corrupted = torch.randn(8, 3, 6, 6), torch.randn(8, 3, 6, 6)
    graph = FeatureGraph(
        network,
        (Coded(Site("0"), Known(torch.randn(9, 6)), 9), Coded(Site("2"), Known(torch.randn(5, 4)), 5)),
    )
    task = Task(graph, clean, others(graph, clean, corrupted, "resample"), lambda out, _: out[:, 0])
    assert graph.values(clean)[0].shape == (8, 6, 6, 9)
    assert task.full() == pytest.approx(network(clean)[:, 0].detach().numpy(), abs=1e-5)
    assert task.empty() == pytest.approx(network(corrupted)[:, 0].detach().numpy(), abs=1e-4)
    effects = edge_effects(task, np.arange(graph.slices[1].start, graph.slices[1].stop - 1))
    assert all(part.shape == (8, 10) for _, part in effects.values())
    assert sum((part > 0).any() for _, part in effects.values()) >= 3
    # Only latent 2 of the first site ablated: what its channels change is what its direction carries.
    mask = np.zeros((1, task.size))
    mask[0, 2] = 1
    latents, other = (graph.values(one)[0][..., 2] for one in (clean, corrupted))
    moved = network[0](clean) + torch.einsum(
        "rhw,c->rchw", other - latents, graph.coded[0].coder.directions[2]
    )
    assert task.measured(mask)[0] == pytest.approx(network[1:](moved)[:, 0].detach().numpy(), abs=1e-4)


def test_a_feature_circuit_finds_the_latents_and_the_wiring_that_matter():
    network = planted_features.superposed(np.random.default_rng(3))
    graph = FeatureGraph(
        network,
        (
            Coded(Site("mix"), Known(network.first), planted_features.FEATURES),
            Coded(Site("mix_2"), Known(network.second), planted_features.SECOND),
        ),
    )
    clean, corrupted = planted_features.contrast(network, np.random.default_rng(4), 64)
    task = Task(graph, clean, others(graph, clean, corrupted, "resample"), lambda out, _: out[:, 0])
    plain = network(clean)[:, 0].detach().numpy()
    assert task.full() == pytest.approx(plain, abs=1e-5)
    assert task.empty() == pytest.approx(network(corrupted)[:, 0].detach().numpy(), abs=1e-4)
    found = feature_circuit(task)
    chosen, wired = network.chosen.numpy(), network.sources.numpy()
    truth = np.zeros(task.size, dtype=bool)
    truth[np.flatnonzero(wired[chosen].any(axis=0))] = True
    truth[graph.slices[1].start + chosen] = True
    latents = ~graph.errors
    assert recovery(found.nodes[latents], truth[latents]).auroc >= 0.95
    assert found.faithfulness > 0.5 > found.completeness
    effects = edge_effects(task, np.arange(graph.slices[1].start, graph.slices[1].stop - 1))
    for latent in chosen:
        start, sizes = effects[graph.slices[1].start + int(latent)]
        assert start == 0
        assert set(np.argsort(-sizes.mean(axis=0)[:-1])[:2]) == set(np.flatnonzero(wired[latent]))
    assert all(found.kept[source] and found.kept[into] for source, into in found.edges)


@pytest.fixture(scope="module")
def heads():
    model = repeats.trained(0, steps=450)
    ids, periods = repeats.repeated(np.random.default_rng(5), 16)
    other, _ = repeats.repeated(np.random.default_rng(6), 16)
    graph = ResidualGraph(model, edge_spec(model))
    graph.check(ids)
    task = Task(graph, ids, others(graph, ids, other, "resample"), repeats.log_likelihood(ids, periods))
    return model, ids, periods, graph, task


def test_heads_that_write_the_repeated_token_are_those_that_match_prefixes(heads):
    model, ids, periods, graph, task = heads
    scores = attribution.mean_absolute(attribution.eap_ig(task))
    direct = {
        str(one.source): float(score)
        for one, score in zip(graph.elements, scores, strict=True)
        if one.target == "output" and one.source != "embed"
    }
    match = repeats.prefix_matching(model, ids, periods)
    names = [f"a{layer}.h{head}" for layer in range(2) for head in range(4)]
    best = names[int(match.argmax())]
    assert match.max() > 0.5
    assert direct[best] > 5 * max(direct[name] for name in names[:4])


def test_of_a_network_charged_for_heads_the_one_that_matches_prefixes_is_named_and_random_others_do_nothing():
    model = repeats.trained(0, heads=8, penalty=repeats.LASSO)
    ids, periods = repeats.repeated(np.random.default_rng(5), 32)
    match = repeats.prefix_matching(model, ids, periods)
    sites = tuple(Nodes(Site(f"blocks.{layer}.attn.o_proj", "in"), 8) for layer in range(2))
    graph = NodeGraph(model, sites)
    task = Task(graph, ids, others(graph, ids, ids, "mean"), repeats.log_likelihood(ids, periods))
    effects = (task.full() - task.measured(np.eye(16))).mean(axis=1)
    (induction,) = np.flatnonzero(match > 0.5)
    previous = int(np.argmax(repeats.previous_token(model, ids)))
    scores = attribution.mean_absolute(attribution.eap_ig(task))
    assert set(np.argsort(-scores)[:2].tolist()) == {int(induction), previous}
    assert induction >= 8 > previous
    assert effects[induction] > 1
    rest = np.delete(effects, [induction, previous])
    assert len(rest) == 14
    assert np.abs(rest).max() < 0.05


def test_layer_norm_is_applied_anew_to_each_readers_own_residual(heads):
    task = heads[4]
    chosen = [0, 13, 40, 70, task.size - 1]
    part = task.part(np.arange(4))
    masks = np.zeros((len(chosen), task.size))
    masks[np.arange(len(chosen)), chosen] = 1
    assert patching.exact(part, chosen) == pytest.approx(
        (part.measured(masks, reuse=False) - part.full()).T, abs=1e-4
    )
    everything = part.measured(np.ones((1, task.size)))[0]
    corrupted = part.metric(heads[0](repeats.repeated(np.random.default_rng(6), 16)[0][:4]), torch.arange(4))
    assert everything == pytest.approx(corrupted.detach().numpy(), abs=1e-3)


def test_specifications_agree_where_circuits_are_alike_and_the_claim_holds():
    first = np.array([True, True, True, True, True, False])
    like = np.array([True, True, True, True, False, False])
    unlike = ~first
    specs = [
        multiverse.Specification(seed=seed, template="all", ablation="mean", metric="kl", threshold=0.85)
        for seed in range(3)
    ]
    universes = [
        multiverse.Universe(one, circuit, claim)
        for one, circuit, claim in zip(specs, (first, like, unlike), (True, True, True), strict=True)
    ]
    found = multiverse.stability(universes, first)
    assert (found.specifications, found.agreeing, found.claim_share) == (3, 2, 1)
    assert found.jaccard_primary == pytest.approx((1 + 0.8 + 0) / 3)
    assert found.jaccard == pytest.approx((0.8 + 0 + 0) / 3)
    with pytest.raises(ValueError, match="declared"):
        multiverse.stability([], first)
