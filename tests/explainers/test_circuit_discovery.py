"""Circuit discovery: planted paths are found and kept, permuted weights carry nothing, what cannot be asked is refused."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.explainers import circuit_beds as beds  # noqa: E402
from tests.explainers.bench import Bench, observe  # noqa: E402
from tests.mechanistic.circuits import viewer  # noqa: E402
from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.explainers.circuit_discovery import METHOD  # noqa: E402
from xai_audit.explainers.circuits import prompts as sides  # noqa: E402
from xai_audit.explainers.circuits.latents import Latents  # noqa: E402
from xai_audit.mechanistic.circuits.export import unpacked  # noqa: E402
from xai_audit.mechanistic.circuits.features import acting  # noqa: E402
from xai_audit.mechanistic.circuits.recovery import recovery  # noqa: E402
from xai_audit.mechanistic.dictionaries.recovery import cosines  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402
from xai_audit.method import Skipped  # noqa: E402
from xai_audit.rungs import held, rung  # noqa: E402

QUICK = {"prompts": "ioi", "random_circuits": 99, "twins": 5, "multiverse": None}


@functools.cache
def edges(method="eap_ig", **more):
    return observe(METHOD, beds.subject(), level="edge", method=method, **{**QUICK, **more})


def prompts(subject):
    params = METHOD.params(prompts="ioi")
    return sides.prompts(subject, subject.model.network, "ioi", 200, Bench(subject, params, METHOD))


def reached(found):
    return rung([held(one) for one in found.controls], found.inference, found.robustness)


class TestPlanted:
    @pytest.mark.parametrize("method", ["eap", "eap_ig", "mask_gradient", "exact", "acdc"])
    def test_every_search_finds_the_two_paths(self, method):
        found = edges(method, ablation=("resample",))
        named = {item.name for item in found["resample-elements"].observation.items}
        assert named == {"x0 → 0.0", "x1 → 0.1", "0.0 → 2.1", "0.1 → 2.1"}

    def test_the_circuit_alone_does_it_and_the_rest_does_not(self):
        found = edges()["resample"]
        assert found.observation.estimate.low > 0.9
        assert abs(found.params["completeness"]["value"]) < 0.1
        assert found.params["size_at_85"]["value"] == 4
        assert found.params["cmd"]["value"] < 0.1
        assert found.params["random_reach"] < 0.6
        assert reached(found) == "intervened"

    def test_ablations_stand_side_by_side(self):
        found = edges()
        assert found[""].observation.rows == ("resample", "mean", "zero")
        assert {one.name for one in found["growth"].observation.series} == {
            "resample ablation", "mean ablation", "zero ablation"
        }  # fmt: skip
        # Under mean ablation a path carries what it mostly does: its edges are found, and say less.
        assert found["zero"].params["elements"] == found["resample"].params["elements"] == 64

    def test_the_graph_is_the_circuit(self):
        seen = edges()["resample-graph"].observation
        assert {(one.source, one.target) for one in seen.edges} == {
            ("in.0", "0.0"), ("in.1", "0.1"), ("0.0", "2.1"), ("0.1", "2.1")
        }  # fmt: skip
        assert [node.label for node in seen.nodes if node.id.startswith("in.")] == ["x0", "x1"]

    def test_the_graph_goes_to_the_viewer(self):
        found = edges()["resample-graph"]
        told = unpacked(found.arrays["circuit_tracer_json"])
        assert viewer.opened(told) == {"x0": 0, "x1": 0, "0.0": 1, "0.1": 1, "2.1": 2}
        weights = sorted(one.estimate.value for one in found.observation.edges)
        assert sorted(link["weight"] for link in told["links"]) == pytest.approx(weights)

    def test_permuted_weights_carry_nothing_of_it(self):
        twins = held(edges()["resample"].controls[3])
        assert twins.passed
        # The audited network is itself a twin: nothing planted is left, and no circuit is claimed.
        net = beds.stack().twin(np.random.default_rng(9))
        found = observe(METHOD, beds.subject(net), level="edge", ablation=("resample",), **QUICK)["resample"]
        assert isinstance(found, Skipped) or found.observation.estimate.value != 1
        gap = edges()["resample"].arrays
        own = float(np.mean(gap["full"] - gap["empty"]))
        other = (
            0.0
            if isinstance(found, Skipped)
            else float(np.mean(found.arrays["full"] - found.arrays["empty"]))
        )
        assert abs(other) < 0.5 * own

    def test_what_the_contrast_leaves_as_it_is_cannot_be_tested(self):
        found = observe(METHOD, beds.subject(flip=(0,)), level="edge", ablation=("resample",), **QUICK)[
            "resample"
        ]
        named = found.params["untestable_named"]
        assert found.params["untestable_elements"] >= 5 * beds.HIDDEN
        assert (
            "in.1 -> 0.1"
            in observe(
                METHOD, beds.subject(flip=(0,)), level="edge", ablation=("resample",), top=100, **QUICK
            )["resample"].params["untestable_named"]
        )
        assert "in.0 -> 0.0" not in named

    def test_nodes_and_units(self):
        found = observe(
            METHOD,
            beds.subject(),
            level="node",
            sites=["1"],
            split="units",
            ablation=("resample",),
            method="exact",
            **QUICK,
        )
        assert {item.name for item in found["resample-elements"].observation.items} == {"1.0", "1.1"}
        assert "resample-graph" not in found

    def test_ranks_are_shared_where_effects_are_not_apart(self):
        items = {one.name: one for one in edges()["resample-elements"].observation.items}
        assert items["x0 → 0.0"].rank_high >= 2
        assert all(one.rank_low <= one.rank_high for one in items.values())


FEATURES = {
    "level": "feature", "prompts": "ioi", "sites": ["inner.mix_2", "inner.mix"], "random_circuits": 99, "twins": 3,
    "dictionaries": {"variant": "batchtopk", "expansion": 2.4, "k": 4, "tokens": 400_000, "batch": 512, "lr": 3e-3},
    "multiverse": None, "ablation": ("resample",),
}  # fmt: skip


@functools.cache
def planted():
    """The bed of latents and what is found in it."""
    network, subject = beds.planted()
    return network, subject, observe(METHOD, subject, **FEATURES)


@functools.cache
def truth():
    """The names of elements; of each latent its planted feature, by its direction, and whether the output needs it."""
    network, subject, _ = planted()
    context = Bench(subject, METHOD.params(**FEATURES), METHOD)
    latents = Latents.of(subject, subject.model.network, context.params, context, prompts(subject).clean)
    graph = latents.build(subject.model.network)
    chosen = network.chosen.numpy()
    needed = {"inner.mix": np.flatnonzero(network.sources.numpy()[chosen].any(axis=0)), "inner.mix_2": chosen}
    true = {}
    for one, directions in zip(latents.own, (network.first, network.second), strict=True):
        likeness = cosines(directions, one.dictionary.w_dec)
        for latent in range(one.dictionary.m):
            feature = int(likeness[:, latent].argmax())
            if likeness[feature, latent] > 0.9:
                true[f"{one.site}/{latent}"] = feature, feature in needed[str(one.site)]
    return [one.source for one in graph.elements], true


class TestFeatures:
    def test_latents_of_the_planted_features_come_first(self):
        found = planted()[2]
        names, true = truth()
        claim = found["resample"]
        assert [one["site"] for one in claim.params["trained"]] == ["inner.mix", "inner.mix_2"]
        latents = np.asarray([not name.endswith("/error") for name in names])
        needed = np.asarray([true.get(name, (0, False))[1] for name in names])
        assert needed.sum() >= 10  # of twelve: the others are split, or less than .9 like their feature
        assert recovery(claim.arrays["order"][latents], needed[latents]).auroc >= 0.97
        assert claim.observation.estimate.low > claim.params["random_reach"]
        # Without the error nodes the latents alone keep nearly as much.
        assert claim.params["error_nodes"] <= 2
        assert claim.params["without_error_nodes"]["low"] > 0.5

    def test_edges_that_are_wired_are_the_strongest(self):
        network, _, every = planted()
        found = every["resample-graph"]
        _, true = truth()
        sources = network.sources.numpy()
        wired = [
            sources[true[one.target][0], true[one.source][0]]
            for one in found.observation.edges
            if one.source in true and one.target in true
        ]
        assert len(wired) >= 5  # of eight that matter
        assert all(wired)
        told = unpacked(found.arrays["circuit_tracer_json"])
        for name, row in viewer.opened(told).items():
            assert row == {"inner.mix": 1, "inner.mix_2": 2, "output": 3}[name.rpartition("/")[0] or name]
        assert len(told["links"]) == len(found.observation.edges)

    def test_permuted_weights_have_no_such_circuit(self):
        claim = planted()[2]["resample"]
        own = float((claim.arrays["full"] - claim.arrays["empty"]).mean())
        assert abs(claim.arrays["twins"] * own).max() < 0.5 * own

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"sites": []}, "level: feature needs sites"),
            ({"split": "units"}, "split is of level node"),
            ({"level": "node"}, "dictionaries are of level feature"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, change, what):
        with pytest.raises(ValueError, match=what):
            METHOD.params(**{**FEATURES, **change})

    def test_a_site_that_runs_twice_or_never_is_named(self):
        class Twice(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

            def forward(self, x):
                return self.one(self.one(x))

        for site, what in (("one", "several times in one pass"), ("other", "in no pass")):
            with pytest.raises(MethodError, match=f"{site} runs {what}"):
                acting(Twice(), [Site(site)], torch.zeros(1, 2))


class TestMultiverse:
    def test_specifications_are_counted_as_declared(self):
        asked = {"resamples": 2, "metrics": ["logit_difference", "log_probability"], "thresholds": [0.85]}
        found = observe(
            METHOD,
            beds.subject(),
            level="edge",
            ablation=("resample", "mean"),
            **{**QUICK, "multiverse": asked},
        )
        claim = found["resample"]
        assert claim.robustness.specifications == 2 * 2 * 2
        assert claim.arrays["variant_circuits"].shape == (8, 64)
        own = claim.arrays["members"]
        like = [
            (one & own).sum() / (one | own).sum() >= 0.8 and bool(ok)
            for one, ok in zip(claim.arrays["variant_circuits"], claim.arrays["variant_held"], strict=True)
        ]
        assert claim.robustness.agreeing == sum(like)
        assert len(found["multiverse"].observation.rows) == 4
        card = unpacked(claim.arrays["stability_card_json"])
        assert card["battery"]["n_runs_total"] == 8
        pooled = card["metrics"]["pooled"]
        every = pooled.get("mean_pairwise_jaccard_all_sizes", pooled["mean_pairwise_jaccard"])
        assert every == pytest.approx(claim.params["jaccard"])

    def test_the_planted_circuit_holds_under_resampling(self):
        asked = {"resamples": 3, "metrics": ["logit_difference"], "thresholds": [0.85]}
        found = observe(
            METHOD, beds.subject(), level="edge", ablation=("resample",), **{**QUICK, "multiverse": asked}
        )
        assert found["resample"].robustness.share == 1
        assert reached(found["resample"]) == "robust"


ONE = {"resamples": 2, "metrics": ["logit_difference"], "thresholds": [0.85]}


@functools.cache
def templated(paths, min_cell=10, rows=200, **more):
    asked = {**QUICK, "multiverse": {**ONE, **more}, "rows": rows}
    made = beds.templated(paths)
    return observe(METHOD, made, min_cell=min_cell, level="edge", ablation=("resample",), **asked)


class TestTemplates:
    APART = (("left", (0,), 60), ("right", (1,), 60))
    ALIKE = (("left", (0, 1), 60), ("right", (0, 1), 60))

    def test_two_templates_that_take_different_paths_are_told_apart(self):
        found = templated(self.APART)
        claim, table = found["resample"], found["multiverse"]
        assert claim.params["circuit_size"] == 4
        assert table.observation.row_title == "ablation, metric, threshold, template"
        assert table.observation.rows == tuple(
            f"resample, logit difference, 85%, {one}" for one in ("all prompts", "“left”", "“right”")
        )
        # (2 resamples each): each path alone, not the other; it does not carry the behaviour of the other wording.
        circuits = claim.arrays["variant_circuits"]
        assert circuits.sum(axis=1).tolist() == [4, 4, 2, 2, 2, 2]
        assert not (circuits[2] & circuits[4]).any()
        assert (circuits[2] | circuits[4]).tolist() == claim.arrays["members"].tolist()
        assert claim.arrays["variant_held"].tolist() == [True, True, False, False, False, False]
        assert claim.params["claim_share"] == pytest.approx(1 / 3)
        # Of 15 pairs: three are of the same specification, eight of one path and both, four of two paths.
        assert claim.params["jaccard"] == pytest.approx((3 + 8 * 0.5) / 15)
        assert claim.robustness.agreeing == 2
        assert reached(claim) == "intervened"

    def test_two_templates_with_one_circuit_agree(self):
        claim = templated(self.ALIKE)["resample"]
        assert claim.robustness.specifications == 6
        assert claim.params["jaccard"] == claim.params["claim_share"] == claim.robustness.share == 1
        assert reached(claim) == "robust"

    def test_each_template_is_searched_on_its_own_half_and_judged_on_the_others(self):
        found = templated((("left", (0, 1), 50), ("right", (0, 1), 70)))
        assert found["multiverse"].params["templates"] == [
            {"name": "left", "prompts_that_find": 25, "others_that_judge": 35},
            {"name": "right", "prompts_that_find": 35, "others_that_judge": 25},
        ]
        assert found["multiverse"].params["templates_not_used"] == []
        assert found["multiverse"].limits == ()

    def test_the_card_names_the_axis(self):
        card = unpacked(templated(self.APART)["resample"].arrays["stability_card_json"])
        assert card["battery"]["axes"] == ["ablation", "metric", "threshold", "template", "resample"]
        assert "resample, logit_difference, 85%, “right”, seed 1" in {one["variant"] for one in card["runs"]}

    def test_a_template_of_too_few_prompts_is_named_as_not_used_and_a_rarer_one_only_counted(self):
        paths = (
            ("left", (0, 1), 60),
            ("right", (0, 1), 60),
            ("short", (0, 1), 30),
            ("mine alone", (0, 1), 9),
        )
        found = templated(paths)
        told = found["multiverse"]
        assert [one["name"] for one in told.params["templates"]] == ["left", "right"]
        assert told.params["templates_not_used"] == ["short"]
        assert told.params["templates_withheld"] == 1
        assert told.limits == (
            "no specification of its own, with fewer than 20 prompts of it or of other wording in a half: template “short”",
            "1 template is neither used nor named, with fewer than 10 prompts",
        )
        published = repr([(one.params, one.limits, one.observation, one.title) for one in found.values()])
        assert "short" in published
        assert "mine alone" not in published
        assert "mine alone" not in repr(unpacked(found["resample"].arrays["stability_card_json"]))
        assert "right" not in repr(templated(self.APART, min_cell=61)["multiverse"])

    def test_one_template_alone_has_nothing_to_be_judged_on(self):
        found = templated((("left", (0, 1), 100), ("short", (0, 1), 20)))
        assert found["multiverse"].params["templates"] == []
        assert found["multiverse"].params["templates_not_used"] == ["left", "short"]
        assert found["multiverse"].observation.row_title == "specification"
        assert found["resample"].robustness.specifications == 2

    def test_a_list_names_those_that_are_searched_and_false_none(self):
        found = templated(self.ALIKE, templates=("right",))
        assert [one["name"] for one in found["multiverse"].params["templates"]] == ["right"]
        assert found["resample"].robustness.specifications == 4
        found = templated(self.ALIKE, templates=False)
        assert "templates" not in found["multiverse"].params
        assert found["resample"].robustness.specifications == 2

    def test_what_all_prompts_find_is_the_same_beside_templates(self):
        one, other = (templated(self.APART, templates=asked)["multiverse"] for asked in (("left",), True))
        for found in (one, other):
            assert found.observation.values[0] == pytest.approx((4, 1, 1))

    def test_templates_of_the_mean_are_those_of_their_own_wording(self):
        made = beds.templated(self.ALIKE)
        asked = {**QUICK, "multiverse": ONE}
        found = observe(METHOD, made, level="edge", ablation=("mean", "zero"), method="exact", **asked)
        assert found["mean"].arrays["variant_circuits"].shape == (12, 64)
        assert found["mean"].params["jaccard"] == found["zero"].params["jaccard"]

    @pytest.mark.parametrize(
        ("asked", "what"),
        [
            ({"prompts": None, "multiverse": {"templates": True}}, "templates are those of prompts"),
            ({"prompts": "ioi", "multiverse": {"templates": ()}}, "name a template, or false"),
            ({"prompts": "ioi", "multiverse": {"templates": ("a", "a")}}, "each is named once"),
        ],
    )
    def test_what_cannot_be_asked(self, asked, what):
        with pytest.raises(ValueError, match=what):
            METHOD.params(**asked)


class TestDecoders:
    def test_edges_of_a_known_structure(self):
        found = observe(METHOD, beds.decoded(), level="edge", ablation=("resample",), **QUICK)
        claim = found["resample"]
        nodes = (
            {one.id: one.site for one in found["resample-graph"].observation.nodes}
            if "resample-graph" in found
            else {}
        )
        assert claim.params["elements"] == 6 + 3 + 4
        rows = viewer.opened(unpacked(found["resample-graph"].arrays["circuit_tracer_json"]))
        every = {"embed": 0, "a0.h0": 1, "a0.h1": 1, "m0": 2, "output": 3}
        assert rows == {name: every[name] for name in rows}
        assert all(site is None or node.startswith(site) for node, site in nodes.items())
        assert claim.arrays["grown"].shape[0] == len(claim.arrays["sizes"])
        np.testing.assert_allclose(claim.arrays["grown"][-1], claim.arrays["full"], atol=1e-4)

    def test_nodes_of_a_known_structure_need_no_sites(self):
        found = observe(METHOD, beds.decoded(), level="node", ablation=("mean",), method="exact", **QUICK)
        assert found["mean"].params["elements"] == 4


class TestPrompts:
    def test_test_rows_are_a_contrast_where_no_prompts_are_named(self):
        found = observe(
            METHOD, beds.subject(), level="edge", ablation=("resample",), **{**QUICK, "prompts": None}
        )
        assert "decided otherwise" in found["resample"].params["prompts_from"]
        assert found["resample"].params["classes_from"] == "as the network decides either side"
        assert found["resample"].observation.estimate.low > 0.7

    def test_halves_share_no_row(self):
        found = edges()["resample"]
        assert found.params["prompts_that_find"] + found.params["prompts_that_judge"] == 80
        assert len(found.arrays["full"]) == found.params["prompts_that_judge"]

    def test_the_same_twice(self):
        first, second = (
            observe(METHOD, beds.subject(), level="edge", ablation=("resample",), **QUICK)["resample"]
            for _ in range(2)
        )
        for name, own in first.arrays.items():
            np.testing.assert_array_equal(own, second.arrays[name])


class TestRefused:
    def ask(self, made=None, **params):
        with pytest.raises(MethodError) as caught:
            observe(METHOD, made or beds.subject(), **{**QUICK, **params})
        told = str(caught.value)
        assert "\n" not in told
        return told

    def test_edges_where_there_are_none(self):
        class Free(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.a = torch.nn.Linear(beds.INPUTS, 2)

            def forward(self, x):
                return self.a(x)

        net = replace(beds.stack(), module=Free())
        assert "nn.Sequential stacks" in self.ask(beds.subject(net), level="edge")
        assert "name sites" in self.ask(beds.subject(net), level="node")

    def test_a_set_that_is_no_pairs_or_is_absent(self):
        assert "no set named x" in self.ask(prompts="x")
        made = beds.subject()
        bare = replace(made, sets={"ioi": replace(made.sets["ioi"], pairs=None)})
        assert "is no pairs" in self.ask(bare, level="edge")

    def test_few_prompts(self):
        found = observe(METHOD, beds.subject(rows=24), level="edge", **QUICK)
        assert list(found) == [""]
        assert "40 are needed" in found[""].reason

    def test_no_behaviour_is_skipped_by_ablation(self):
        clean, _ = beds.prompts()
        made = beds.subject()
        same = replace(made, sets={"ioi": beds.pairs(clean, clean)})
        found = observe(METHOD, same, level="edge", **QUICK)
        assert isinstance(found["resample"], Skipped)
        assert "nothing to be faithful to" in found["resample"].reason
        assert not isinstance(found["zero"], Skipped)
