"""Attributions along paths: closed forms, the axioms, and captum's own numbers."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from xai_audit.errors import MethodError
from xai_audit.mechanistic import gradients
from xai_audit.mechanistic.network import Network, Site

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from captum.attr import GradientShap, IntegratedGradients, LayerIntegratedGradients

RULES = {
    "gauss_legendre": "gausslegendre",
    "riemann_left": "riemann_left",
    "riemann_middle": "riemann_middle",
    "riemann_right": "riemann_right",
    "riemann_trapezoid": "riemann_trapezoid",
}


def seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def convolution(activation=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), activation(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), activation(), nn.Flatten(),
        nn.Linear(8 * 4 * 4, 4),
    )  # fmt: skip


def perceptron(activation=nn.ReLU):
    return nn.Sequential(nn.Linear(6, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 3))


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def first(outputs):
    return outputs[:, 0]


class Formula(nn.Module):
    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def forward(self, x):
        return self.formula(x)[:, None]


# ---------------------------------------------------------------------------------------------- quadrature
@pytest.mark.parametrize("rule", RULES)
def test_weights_add_to_one_and_points_lie_within(rule):
    for steps in (2, 7, 50):
        points, weights = gradients.quadrature(rule, steps)
        assert len(points) == len(weights) == steps
        assert abs(weights.sum() - 1) < 1e-12
        assert points.min() >= 0
        assert points.max() <= 1


def test_gauss_legendre_is_exact_for_polynomials_of_its_degree():
    points, weights = gradients.quadrature("gauss_legendre", 4)
    for degree in range(8):
        assert weights @ points**degree == pytest.approx(1 / (degree + 1), abs=1e-14)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="riemann_trapezoid with 1 steps"):
        gradients.quadrature("riemann_trapezoid", 1)


# ---------------------------------------------------------------------------------------------- closed forms
def test_a_linear_model_gives_weight_times_change():
    model = seeded(lambda: nn.Linear(6, 1))
    network = gradients.in_double(Network(model, link="none"))
    x, b = drawn(1, 6), drawn(1, 6, seed=1)
    found = gradients.integrated(network, x, b.double(), gradients.output_of(network, 0), steps=3)
    expected = (model.weight.double() * (x.double() - b.double()))[0]
    assert torch.allclose(found.values, expected.detach(), atol=1e-13)
    assert found.residual < 1e-12


def test_a_quadratic_form_is_shared_out_by_its_symmetric_part():
    rng = np.random.default_rng(3)
    matrix = torch.from_numpy(rng.normal(size=(5, 5)))
    network = Network(Formula(lambda x: torch.einsum("ni,ij,nj->n", x, matrix, x)), link="none")
    x, b = drawn(1, 5, dtype=torch.float64), drawn(1, 5, seed=1, dtype=torch.float64)
    found = gradients.integrated(network, x, b, first, steps=2)
    # The gradient is (M + M') z, linear along the path: its mean is that at the middle.
    expected = ((x - b) * ((x + b) / 2 @ (matrix + matrix.T)))[0]
    assert torch.allclose(found.values, expected, atol=1e-12)


def test_a_product_is_shared_equally_from_zero():
    network = Network(Formula(lambda x: x[:, 0] * x[:, 1] * x[:, 2]), link="none")
    found = gradients.integrated(
        network, torch.tensor([[2.0, 3.0, 5.0, 7.0]]), torch.zeros(1, 4), first, steps=2
    )
    assert found.values.tolist() == pytest.approx([10, 10, 10, 0], abs=1e-4)


# ---------------------------------------------------------------------------------------------- axioms
def test_an_input_that_the_network_cannot_see_gets_exactly_nothing():
    model = seeded(perceptron)
    with torch.no_grad():
        model[0].weight[:, 2] = 0
        model[0].weight[0] = 0  # a dead unit changes nothing either
    network = Network(model)
    found = gradients.integrated(network, drawn(1, 6), torch.zeros(1, 6), gradients.output_of(network, 1))
    assert found.values[2] == 0
    assert (found.values[[0, 1, 3, 4, 5]] != 0).all()


def test_equal_functions_get_equal_attributions_however_they_are_built():
    class Twice(nn.Module):
        """The same function: hidden units doubled, their outgoing weights halved, in another order."""

        def __init__(self, model):
            super().__init__()
            weight, bias = model[0].weight.data, model[0].bias.data
            self.one, self.two = nn.Linear(6, 32), nn.Linear(32, 3)
            order = torch.arange(31, -1, -1)
            self.one.weight.data, self.one.bias.data = weight.repeat(2, 1)[order], bias.repeat(2)[order]
            self.two.weight.data = (model[2].weight.data / 2).repeat(1, 2)[:, order]
            self.two.bias.data = model[2].bias.data

        def forward(self, x):
            return self.two(torch.nn.functional.softplus(self.one(x)))

    model = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.Softplus(), nn.Linear(16, 3)))
    pair = [gradients.in_double(Network(one)) for one in (model, Twice(model))]
    x = drawn(1, 6)
    one, two = (
        gradients.integrated(net, x, torch.zeros(1, 6), gradients.output_of(net, 2)).values for net in pair
    )
    assert torch.allclose(one, two, atol=1e-12)


def test_completeness_is_reached_by_doubling_the_steps():
    network = Network(seeded(convolution))
    x = drawn(1, 3, 14, 14)
    output = gradients.output_of(network, 1)
    rough = gradients.integrated(network, x, torch.zeros_like(x), output, steps=3)
    fine = gradients.integrated(network, x, torch.zeros_like(x), output, steps=3, tolerance=0.002, most=4000)
    assert rough.residual > 0.002
    assert fine.residual <= 0.002
    assert fine.steps in {3 * 2**k for k in range(12)}
    assert fine.steps > 3


def test_doubling_stops_at_the_cap():
    network = Network(seeded(convolution))
    x = drawn(1, 3, 14, 14)
    found = gradients.integrated(
        network, x, torch.zeros_like(x), gradients.output_of(network, 1), steps=3, tolerance=1e-12, most=20
    )
    assert found.steps == 12


def test_a_row_without_change_has_no_residual_and_a_sum_without_change_an_endless_one():
    assert gradients.relative(0.0, 0.0) == 0
    assert gradients.relative(0.5, 0.0) == np.inf
    assert gradients.relative(1.5, 1.0) == 0.5


def test_the_batch_size_of_a_pass_changes_nothing_that_matters():
    model = seeded(lambda: convolution(nn.Tanh))
    x = drawn(1, 3, 14, 14)
    found = [
        gradients.integrated(net, x, torch.zeros_like(x), gradients.output_of(net, 0)).values
        for net in (Network(model, micro=7), Network(model, micro=64))
    ]
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_a_baseline_of_another_shape_is_refused():
    network = Network(seeded(perceptron))
    with pytest.raises(MethodError, match=r"the baseline is \(1, 5\), the row \(1, 6\)"):
        gradients.integrated(network, drawn(1, 6), torch.zeros(1, 5), first)


# ---------------------------------------------------------------------------------------------- what is explained
def test_the_output_is_counted_as_the_scores_are():
    outputs = torch.tensor([[0.3], [-2.0]])
    for link, sign in (("sigmoid", -1.0), ("none", 1.0)):
        network = Network(nn.Linear(2, 1), link=link)
        assert torch.equal(gradients.output_of(network, 0)(outputs), sign * outputs[:, 0])
        assert torch.equal(
            gradients.output_of(network, 0, probability=True)(outputs), network.linked(outputs)[:, 0]
        )
    network = Network(nn.Linear(2, 1), link="sigmoid")
    assert torch.equal(gradients.output_of(network, 1)(outputs), outputs[:, 0])
    wide = torch.tensor([[0.1, 0.7, -1.0]])
    network = Network(nn.Linear(2, 3))
    assert gradients.output_of(network, 2)(wide).tolist() == [-1.0]
    assert gradients.output_of(network, 2, probability=True)(wide).item() == pytest.approx(
        torch.softmax(wide.double(), 1)[0, 2].item()
    )


# ---------------------------------------------------------------------------------------------- captum
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
def test_equal_to_captum(rule, double):
    for build, shape in ((perceptron, (1, 6)), (convolution, (1, 3, 14, 14))):
        network = Network(seeded(build))
        network = gradients.in_double(network) if double else network
        dtype = torch.float64 if double else torch.float32
        x, b = drawn(*shape, dtype=dtype), drawn(*shape, seed=1, dtype=dtype)
        found = gradients.integrated(network, x, b, gradients.output_of(network, 2), steps=50, rule=rule)
        theirs = IntegratedGradients(network.module).attribute(
            x, baselines=b, target=2, n_steps=50, method=RULES[rule]
        )
        # Its trapezoid weights are 1/n and add up to (n - 1)/n; ours add up to one.
        scale = 49 / 50 if rule == "riemann_trapezoid" else 1.0
        # It takes points and weights in float32 in either precision.
        apart = (scale * found.values - theirs[0].detach().double()).abs().max()
        assert apart < (1e-8 if double else 1e-5)


def test_gradient_shap_equal_to_captum_for_the_same_draws():
    for double in (False, True):
        network = Network(seeded(lambda: convolution(nn.Tanh)))
        network = gradients.in_double(network) if double else network
        dtype = torch.float64 if double else torch.float32
        x, background = drawn(1, 3, 14, 14, dtype=dtype), drawn(5, 3, 14, 14, seed=1, dtype=dtype)
        draws = 40
        np.random.seed(7)
        torch.manual_seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = GradientShap(network.module).attribute(
                x, baselines=background, target=1, n_samples=draws, stdevs=0.0
            )
        # In captum's order: which baselines, then how far along.
        np.random.seed(7)
        picks = np.random.choice(len(background), draws).tolist()
        alphas = np.random.uniform(0.0, 1.0, draws)
        found = gradients.expected(
            network,
            x,
            background[picks],
            alphas.astype(np.float32).astype(float),
            gradients.output_of(network, 1),
        )
        assert (found.values - theirs[0].detach().double()).abs().max() < (1e-6 if double else 1e-5)


class Reading(nn.Module):
    """Words to classes: an embedding of ids, another of positions, attention and a mean over what is no padding."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Embedding(32, 8)
        self.words = nn.Embedding(40, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, activation="gelu")
        self.out = nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask):
        place = torch.arange(input_ids.shape[1])[None].expand_as(input_ids)
        hidden = self.layer(
            self.words(input_ids) + self.positions(place), src_key_padding_mask=attention_mask == 0
        )
        weight = attention_mask[..., None].to(hidden)
        return self.out((hidden * weight).sum(1) / weight.sum(1))


def test_the_embedding_of_the_ids_is_found_and_equal_to_captum_there():
    network = gradients.in_double(Network(seeded(Reading)))
    batch = {
        "input_ids": torch.tensor([[5, 9, 3, 9, 17]]),
        "attention_mask": torch.ones(1, 5, dtype=torch.int64),
    }
    site = gradients.embedding(network, batch)
    assert site == Site("words")
    padding = torch.zeros_like(batch["input_ids"])
    start = gradients.at(network, {**batch, "input_ids": padding}, site)
    found = gradients.integrated(network, batch, start, gradients.output_of(network, 1), site=site, steps=20)
    theirs = LayerIntegratedGradients(network.module, network.module.words).attribute(
        batch["input_ids"],
        baselines=padding,
        additional_forward_args=(batch["attention_mask"],),
        target=1,
        n_steps=20,
    )
    assert (found.values - theirs[0]).abs().max() < 1e-8
    assert found.residual < 1e-6


def test_a_network_without_an_embedding_of_the_ids_says_so():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(40, 2)

        def forward(self, input_ids):
            return self.out(nn.functional.one_hot(input_ids, 40).float().sum(1))

    batch = {"input_ids": torch.tensor([[5, 9]])}
    with pytest.raises(MethodError, match="none of this network's 0 embedding modules"):
        gradients.embedding(Network(Bag()), batch)


# ---------------------------------------------------------------------------------------------- expected gradients
def test_expected_gradients_of_a_linear_model_are_exact_and_without_error_along_the_path():
    network = gradients.in_double(Network(seeded(lambda: nn.Linear(6, 1)), link="none"))
    x, b = drawn(1, 6), drawn(1, 6, seed=1).double()
    alphas = np.random.default_rng(0).uniform(size=10)
    found = gradients.expected(network, x, b.expand(10, 6), alphas, first, paired=True)
    weight = network.module.weight[0]
    assert torch.allclose(found.values, (weight * (x.double() - b)[0]).detach(), atol=1e-13)
    assert found.error.max() < 1e-13
    assert abs(found.gap) < 1e-12


def test_pairs_cancel_what_is_linear_along_the_path():
    matrix = torch.eye(4, dtype=torch.float64)
    network = Network(Formula(lambda x: torch.einsum("ni,ij,nj->n", x, matrix, x)), link="none")
    x, b = drawn(1, 4, dtype=torch.float64), drawn(1, 4, seed=1, dtype=torch.float64)
    along = np.random.default_rng(0).uniform(size=20)
    alphas = np.stack([along, 1 - along], axis=1).ravel()
    paired = gradients.expected(network, x, b.expand(40, 4), alphas, first, paired=True)
    assert paired.error.max() < 1e-12
    assert torch.allclose(paired.values, ((x - b) * (x + b))[0], atol=1e-12)
    alone = gradients.expected(network, x, b.expand(40, 4), np.random.default_rng(1).uniform(size=40), first)
    assert alone.error.min() > 1e-3


def test_the_standard_error_is_that_of_repeated_draws():
    network = gradients.in_double(Network(seeded(lambda: perceptron(nn.Tanh))))
    background = drawn(30, 6, seed=1).double()
    x = drawn(1, 6)
    rng = np.random.default_rng(5)
    output = gradients.output_of(network, 0)
    told = []
    for _ in range(200):
        picks = np.repeat(rng.integers(0, 30, 10), 2)
        along = rng.uniform(size=10)
        alphas = np.stack([along, 1 - along], axis=1).ravel()
        told.append(gradients.expected(network, x, background[picks], alphas, output, paired=True))
    spread = torch.stack([one.values for one in told]).std(dim=0)
    claimed = torch.stack([one.error for one in told]).square().mean(dim=0).sqrt()
    assert ((claimed / spread - 1).abs() < 0.2).all()
    gaps = np.asarray([one.gap for one in told])
    claimed_gap = np.sqrt(np.mean([one.gap_error**2 for one in told]))
    assert abs(claimed_gap / gaps.std(ddof=1) - 1) < 0.2
    assert abs(gaps.mean()) < 4 * gaps.std(ddof=1) / np.sqrt(200)


def test_reduced_draws_carry_the_error_of_the_sum():
    network = gradients.in_double(Network(seeded(lambda: perceptron(nn.Tanh))))
    background, x = drawn(8, 6, seed=1).double(), drawn(1, 6)
    alphas = np.random.default_rng(0).uniform(size=8)
    output = gradients.output_of(network, 0)
    whole = gradients.expected(network, x, background, alphas, output)
    summed = gradients.expected(
        network, x, background, alphas, output, reduce=lambda draws: draws.sum(dim=1, keepdim=True)
    )
    assert summed.values.item() == pytest.approx(whole.values.sum().item())
    assert summed.error.item() == pytest.approx(
        torch.stack(
            [
                gradients.expected(network, x, background[[k]], alphas[[k]], output).values.sum()
                for k in range(8)
            ]
        )
        .std()
        .item()
        / np.sqrt(8)
    )


def test_draws_that_do_not_match_are_refused():
    network = Network(seeded(perceptron))
    with pytest.raises(ValueError, match="3 baselines, 3 alphas, in pairs"):
        gradients.expected(network, drawn(1, 6), drawn(3, 6), np.zeros(3), first, paired=True)
    assert gradients.expected(network, drawn(1, 6), drawn(1, 6), np.zeros(1), first).error.isinf().all()
