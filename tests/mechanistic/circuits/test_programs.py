"""Programs written by hand: they compute, their edges are found by every method, and what a contrast hides is said."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.mechanistic.circuits.programs import NAMES, program  # noqa: E402
from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic.circuits import attribution, faithfulness, patching  # noqa: E402
from xai_audit.mechanistic.circuits.acdc import acdc, swept  # noqa: E402
from xai_audit.mechanistic.circuits.recovery import recovery, truth_of  # noqa: E402
from xai_audit.mechanistic.circuits.residual import ResidualGraph  # noqa: E402
from xai_audit.mechanistic.circuits.specs import edge_spec  # noqa: E402
from xai_audit.mechanistic.circuits.task import Task, others  # noqa: E402
from xai_audit.mechanistic.circuits.testable import untestable  # noqa: E402

SCORES = {
    "eap": attribution.eap,
    "eap_ig": attribution.eap_ig,
    "mask_gradient": attribution.mask_gradient,
    "exact": patching.exact,
}


def bed(name, ablation, rows=16):
    made = program(name, np.random.default_rng(11))
    prompts = made.prompts(np.random.default_rng(5), rows)
    graph = ResidualGraph(made.model, edge_spec(made.model))
    other = others(graph, prompts.clean, prompts.corrupted, ablation)
    return made, prompts, Task(graph, prompts.clean, other, prompts.metric)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_computes_what_it_says_and_its_residual_is_a_sum(name):
    made, prompts, task = bed(name, "zero")
    with torch.no_grad():
        assert bool(prompts.right(made.model(prompts.clean)).all())
    task.graph.check(prompts.clean)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", SCORES)
def test_zero_ablation_finds_every_edge_of_every_program(name, method):
    made, _, task = bed(name, "zero")
    found = recovery(attribution.mean_absolute(SCORES[method](task)), truth_of(task.graph, made.truth))
    assert found.auroc == found.ap == 1


def test_induction_under_resampling_is_six_sevenths_and_the_position_edges_are_said_not_to_be_testable():
    made, prompts, task = bed("induction", "resample")
    truth, hidden = truth_of(task.graph, made.truth), truth_of(task.graph, made.hidden)
    assert (len(truth), truth.sum(), hidden.sum()) == (81, 7, 2)
    for method in SCORES.values():
        scores = attribution.mean_absolute(method(task))
        assert recovery(scores, truth).auroc == pytest.approx(6 / 7, abs=1e-12)
        assert (scores[truth & ~hidden] > 0).all()
        assert (scores[hidden] == 0).all()
    found = untestable(task.graph, prompts.clean, task.other)
    assert (found == hidden).all()
    zero = bed("induction", "zero")[2]
    assert not untestable(zero.graph, prompts.clean, zero.other).any()


def test_acdc_ahead_is_acdc_one_by_one_and_finds_the_program():
    made, _, task = bed("induction", "zero", rows=8)
    for threshold in (1e-3, 0.1):
        one, many = (acdc(task, threshold, ahead=ahead).kept for ahead in (1, 8))
        assert (one == many).all()
    found = recovery(swept(task, (1e-3, 1e-1)), truth_of(task.graph, made.truth))
    assert found.auroc == 1


def test_batched_patching_with_kept_stages_is_serial_patching():
    for name in ("induction", "sort"):
        task = bed(name, "resample", rows=8)[2]
        assert np.abs(patching.exact(task) - patching.serial(task)).max() < 1e-12


def test_eap_is_the_derivative_of_each_mask():
    task = bed("once", "resample", rows=4)[2]
    slopes = attribution.eap(task)
    step = 1e-4
    for element in (0, 7, 40, task.size - 1):
        masks = np.zeros((1, task.size))
        masks[0, element] = step
        numeric = (task.measured(masks)[0] - task.full()) / np.float32(step)
        assert numeric == pytest.approx(slopes[:, element], rel=2e-2, abs=1e-6)


def test_mask_gradients_add_up_to_the_change_from_nothing_to_everything():
    task = bed("frac_prevs", "resample", rows=8)[2]
    total = attribution.mask_gradient(task, steps=200).sum(axis=1)
    assert total == pytest.approx(task.empty() - task.full(), abs=0.02)


def test_the_true_circuit_is_faithful_its_complement_is_not_and_random_circuits_are_not():
    made, _, task = bed("induction", "zero")
    truth = truth_of(task.graph, made.truth)
    random = faithfulness.random_circuits(task.size, int(truth.sum()), 39, np.random.default_rng(1))
    assert (random.sum(axis=1) == truth.sum()).all()
    found = faithfulness.kept(task, np.concatenate([[truth], random]))
    values = found.faithfulness()
    assert values[0] == pytest.approx(1, abs=1e-9)
    assert found.influence().mean(axis=1) == pytest.approx(values)
    assert faithfulness.completeness(task, truth) == pytest.approx(0, abs=0.05)
    assert np.abs(values[1:]).max() < 0.1
    assert faithfulness.random_p(values[0], values[1:]) == 1 / 40
    grown = faithfulness.growth(task, attribution.mean_absolute(attribution.eap_ig(task)))
    assert grown.size(0.95) is not None
    assert 7 <= grown.size(0.95) <= 9
    assert grown.cmd < 0.15
    assert grown.cpr > 0.85


def test_random_circuits_are_of_the_size_asked_and_take_what_can_be_tested_first():
    among = np.asarray([True, False, True, False, False, True])
    for size in range(7):
        drawn = faithfulness.random_circuits(6, size, 20, np.random.default_rng(size), among)
        assert (drawn.sum(axis=1) == size).all()
        assert (drawn[:, among].sum(axis=1) == min(size, 3)).all()


def test_weights_permuted_the_scores_know_nothing_of_the_program():
    made, prompts, task = bed("induction", "zero")
    rng = np.random.default_rng(3)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.copy_(
                parameter.flatten()[torch.from_numpy(rng.permutation(parameter.numel()))].reshape(
                    parameter.shape
                )
            )
    twin = Task(task.graph, prompts.clean, others(task.graph, prompts.clean, None, "zero"), prompts.metric)
    found = recovery(attribution.mean_absolute(attribution.eap_ig(twin)), truth_of(task.graph, made.truth))
    assert found.ap < 0.6
    assert not bool(prompts.right(made.model(prompts.clean)).all())


def test_a_post_ln_network_is_refused_for_edges():
    made, prompts, task = bed("induction", "zero")
    made.model.blocks[0].register_forward_hook(
        lambda _, __, x: torch.nn.functional.layer_norm(x, x.shape[-1:])
    )
    with pytest.raises(MethodError, match="not the sum of what was written before"):
        task.graph.check(prompts.clean)


def test_a_network_in_training_mode_and_one_without_known_edges_are_refused():
    made = program("induction", np.random.default_rng(0))
    with pytest.raises(MethodError, match="training mode"):
        ResidualGraph(made.model.train(), edge_spec(made.model))
    with pytest.raises(MethodError, match="level: node"):
        edge_spec(torch.nn.Linear(2, 2))
