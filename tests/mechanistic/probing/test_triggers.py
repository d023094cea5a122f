"""Planted triggers are found and undone, clean twins are not flagged, and telling is not switching."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from xai_audit.mechanistic.probing import ablation, planted, triggers  # noqa: E402

KINDS = ("trained", "rotated", "hand-set")


@pytest.fixture(scope="module")
def beds():
    return planted.beds(3, 48, np.random.default_rng([1, 1]), KINDS)


@pytest.fixture(scope="module")
def found(beds):
    return [bed.tried(400, np.random.default_rng([1, 2, place])) for place, bed in enumerate(beds)]


def test_planted_networks_are_right_on_clean_rows_and_attacked(beds, found):
    for bed, one in zip(beds, found, strict=True):
        assert one.before.clean > 0.95
        assert (one.before.success > 0.95) == bed.planted
        assert one.clean_rate < 0.1


def test_planted_triggers_are_found_and_twins_are_not_flagged(beds, found):
    assert [one.found for one in found] == [bed.planted for bed in beds] == [True] * 3 + [False] * 3


def test_the_edit_undoes_the_trigger_and_costs_nothing(found):
    for one in found[:3]:
        assert one.after.success <= triggers.UNDONE
        assert one.cost(one.after) <= triggers.HARMLESS


def test_random_directions_and_units_do_nothing(found):
    for one in found[:3]:
        assert len(one.random["direction"]) == len(one.random["units"]) == 20
        assert one.reach("direction") < 0.05
        assert one.reach("units") < 0.25


def test_a_hand_set_unit_ranks_first_and_alone_undoes_it(beds, found):
    one = found[KINDS.index("hand-set")]
    assert one.edit == "units"
    assert one.units.tolist() == [47] == [int(np.argmax(one.areas))]


def test_units_that_tell_a_rotated_trigger_do_not_carry_it(found):
    one = found[KINDS.index("rotated")]
    assert one.areas.max() > 0.9
    assert one.edit == "direction"
    assert one.telling.success > 0.25 > one.after.success


def test_a_network_of_permuted_weights_has_no_trigger(beds):
    bed = beds[0]
    twin = planted.Bed(
        bed.network.twin(np.random.default_rng(3)), bed.kind, bed.planted, bed.weights, bed.trigger
    )
    assert not twin.tried(200, np.random.default_rng(4)).found


def test_power_counts_both(monkeypatch):
    told = planted.power(2, 24, 200, np.random.default_rng([5, 5]))
    assert (told.planted, told.twins) == (2, 2)
    assert told.found == 2
    assert told.flagged == 0


def test_rows_hold_the_trigger_and_near_misses(beds):
    rows = beds[0].rows(300, np.random.default_rng(6))
    both = rows.triggered.to_numpy()[:, beds[0].trigger]
    assert both.all()
    near = rows.clean.to_numpy()[:, beds[0].trigger]
    assert not near.all(axis=1).any()
    assert near.any(axis=1).mean() == pytest.approx(1 / 3, abs=0.1)


# ------------------------------------------------------------------------------------------------------------ ablation
def test_units_held_one_by_one_and_together_are_the_network_by_hand(beds):
    bed = beds[1]
    frame = bed.rows(50, np.random.default_rng(7)).clean
    flow = ablation.units(bed.network, frame, planted.SITE)
    batches = ablation.flows.built(bed.network, frame)
    levels = np.linspace(-1, 1, 48)
    module = bed.network.module
    x = torch.from_numpy(frame.to_numpy().copy())
    with torch.no_grad():
        inside = module.site(module.relu(module.inner(x)))

        def after(value):
            return torch.softmax(module.head(torch.relu(module.outer(value))).double(), dim=1)[:, 1].numpy()

        plain = after(inside)
        effects = []
        for unit in (0, 5, 47):
            moved = inside.clone()
            moved[:, unit] = float(levels[unit])
            effects.append((after(moved) - plain).mean())
        both = inside.clone()
        both[:, [0, 5]] = torch.from_numpy(levels[[0, 5]]).float()
    assert ablation.unit_effects(bed.network, batches, flow, [0, 5, 47], levels, 1) == pytest.approx(
        np.array(effects), abs=1e-6
    )
    found = ablation.set_scores(bed.network, batches, flow, [0, 5], levels)
    assert found[:, 1] == pytest.approx(after(both), abs=1e-6)


def test_the_first_order_effect_is_exact_where_all_after_is_linear():
    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.readers import TableReader
    from xai_audit.mechanistic.sites import Site

    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for one in module.parameters():
            one.copy_(torch.randn(one.shape, generator=generator))
    import pandas as pd

    frame = pd.DataFrame(np.random.default_rng(9).normal(size=(30, 4)), columns=list("abcd"))
    network = Network(module, TableReader(tuple("abcd")), link="none")
    flow = ablation.units(network, frame, Site("1"))
    batches = ablation.flows.built(network, frame)
    levels = np.arange(6) / 3
    first = ablation.first_order(network, batches, flow, levels, 1)
    exact = ablation.unit_effects(network, batches, flow, range(6), levels, 1)
    assert first == pytest.approx(exact, abs=1e-5)


def test_channels_of_a_picture_are_units():
    from tests.explainers import concept_beds

    network = concept_beds.image_network()
    frame = concept_beds.pictures(np.random.default_rng(1), 8)
    from xai_audit.mechanistic.sites import Site

    flow = ablation.units(network, frame, Site("second"))
    values = ablation.flows.activations(network, frame, [flow])[flow]
    assert values.shape == (8, 8)
    batches = ablation.flows.built(network, frame)
    levels = values.mean(axis=0).astype(np.float64)
    effects = ablation.unit_effects(network, batches, flow, range(8), levels, 1)
    alone = [
        (ablation.set_scores(network, batches, flow, [unit], levels) - network.scores(frame))[:, 1].mean()
        for unit in range(8)
    ]
    assert effects == pytest.approx(np.array(alone), abs=1e-6)
    assert np.abs(effects).max() > 0


def test_random_units_are_not_those_beside():
    drawn = ablation.random_units(10, 3, 50, np.random.default_rng(0), [1, 2, 3])
    assert not {1, 2, 3} & {int(unit) for one in drawn for unit in one}
    assert {len(set(one.tolist())) for one in drawn} == {3}
    assert [len(one) for one in ablation.random_units(4, 3, 1, np.random.default_rng(0), [0, 1])] == [2]
