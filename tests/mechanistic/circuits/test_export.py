"""Circuits for other tools: graphs as circuit-tracer's viewer reads them, cards in StressKit's shape."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mechanistic.circuits import viewer
from xai_audit.mechanistic.circuits.export import (
    Part,
    circuit_tracer,
    packed,
    stability_card,
    unpacked,
    write_all,
)
from xai_audit.mechanistic.circuits.graphs import Element
from xai_audit.mechanistic.circuits.multiverse import Specification, Universe

EDGES = [
    (Element("embed", "a0.h1.k"), 2.0), (Element("embed", "a0.h1.q"), 0.5), (Element("a0.h1", "m0"), 1.5),
    (Element("embed", "output"), 0.1), (Element("m0", "output"), 1.0),
]  # fmt: skip


def decoder(**labels: str) -> dict[str, Part]:
    """One head, one MLP, and a head of a later block that no circuit here has."""
    asked = [
        ("embed", "input", 0),
        ("a0.h1", "inside", 0),
        ("m0", "inside", 1),
        ("a1.h0", "inside", 2),
        ("output", "output", 3),
    ]
    made = {
        name: Part(name=name, kind=kind, layer=layer, number=0, label=labels.get(kind, ""))
        for name, kind, layer in asked
    }
    return made | {f"{head}.{reader}": made[head] for head in ("a0.h1", "a1.h0") for reader in "qkv"}


def latents() -> dict[str, Part]:
    made = [
        Part(name="blocks.1/error", kind="error", layer=1, number=-1),
        Part(name="blocks.0/error", kind="error", layer=0, number=-1),
        Part(name="blocks.0/1", kind="inside", layer=0, number=1, label="blocks.0/1 “to”"),
        Part(name="blocks.1/61", kind="inside", layer=1, number=61),
        Part(name="output", kind="output", layer=2, number=0),
    ]
    return {one.name: one for one in made}


def _with(change):
    made = circuit_tracer(EDGES, decoder(), slug="a", told="")
    change(made)
    return made


def _node(made, name):
    return next(one for one in made["nodes"] if name in one["clerp"])


class TestGraphs:
    def test_readers_are_shown_as_their_head_and_rows_are_layers(self):
        made = circuit_tracer(EDGES, decoder(), slug="a", told="40 prompts")
        assert viewer.opened(made) == {"embed": 0, "a0.h1": 1, "m0": 2, "output": 3}
        assert sorted(link["weight"] for link in made["links"]) == [0.1, 1.0, 1.5, 2.5]

    def test_layers_are_the_networks_not_those_of_the_edges_drawn(self):
        drawn = [(Element("a1.h0", "output"), 1.0), (Element("embed", "m0"), 1.0)]
        rows = viewer.opened(circuit_tracer(drawn, decoder(), slug="a", told=""))
        assert rows == {"embed": 0, "m0": 2, "a1.h0": 3, "output": 4}

    def test_an_output_stands_there_even_where_no_edge_reaches_it(self):
        rows = viewer.opened(circuit_tracer(EDGES[:3], decoder(), slug="a", told=""))
        assert rows["output"] == 3

    def test_inputs_stand_at_a_position_each(self):
        names = [f"x{place}" for place in range(5)]
        parts = {
            name: Part(name=name, kind="input", layer=0, number=place) for place, name in enumerate(names)
        }
        parts |= {one: Part(name=one, kind="output", layer=0, number=place) for place, one in enumerate("yz")}
        made = circuit_tracer(
            [(Element(one, end), 1.0) for one in names[::-1] for end in "yz"], parts, slug="a", told=""
        )
        assert viewer.opened(made) == {**dict.fromkeys(names, 0), "y": 1, "z": 1}

    def test_latents_and_what_they_do_not_explain(self):
        drawn = [
            (Element("blocks.1/error", "output"), 2.0), (Element("blocks.0/error", "blocks.1/error"), 1.0),
            (Element("blocks.0/1", "blocks.1/61"), 0.5), (Element("blocks.1/61", "output"), 0.5),
        ]  # fmt: skip
        made = circuit_tracer(drawn, latents(), slug="a", told="")
        assert viewer.opened(made) == {
            "blocks.0/1 “to”": 1, "blocks.0/error": 1, "blocks.1/61": 2, "blocks.1/error": 2, "output": 3
        }  # fmt: skip
        by_name = {node["clerp"]: node for node in made["nodes"]}
        assert viewer.number(by_name["blocks.1/61"]["feature"]) == 61
        assert by_name["blocks.1/error"]["feature_type"] == "mlp reconstruction error"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda made: _node(made, "output").update(clerp="output"), "it stops"),
            (lambda made: made["metadata"].update(prompt_tokens=["prompts"]), "taken out"),
            (lambda made: [one.update(ctx_idx=0) for one in made["nodes"]], "single position"),
            (lambda made: _node(made, "m0").update(feature_type="cross layer transcoder"), "huggingface"),
            (lambda made: _node(made, "m0").update(layer="0", feature=1), "points down|same row"),
            (lambda made: made["links"].append(dict(made["links"][0])), "two links"),
            (lambda made: made["links"][0].update(source="gone"), "without a node"),
            (lambda made: made["qParams"].update(pinnedIds=[]), "not drawn"),
            (lambda made: _node(made, "m0").update(clerp="<b>"), "HTML"),
        ],
    )
    def test_what_the_viewer_cannot_show_is_told(self, change, why):
        """The first four and the pins were seen to go wrong in the viewer itself."""
        with pytest.raises(AssertionError, match=why):
            viewer.opened(_with(change))

    @given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
    def test_whatever_parts_are_called(self, first, second, last):
        made = circuit_tracer(
            EDGES, decoder(input=f"i{first}", error=second, output=f"o{last}"), slug="a", told=""
        )
        assert len(viewer.opened(made)) == 4


def universe(seed, members, claim=True):
    found = Specification(seed=seed, template="all prompts", ablation="mean", metric="m", threshold=0.85)
    return Universe(found, np.asarray(members, dtype=bool), claim)


ELEMENTS = [Element("embed", f"m{place}") for place in range(8)]


def card(runs):
    return stability_card(
        runs, runs[0].circuit, ELEMENTS, statement="a claim", method="eap", task="ioi", seed=3
    )


def recounted(told) -> tuple[float, float]:
    """As StressKit's verify counts again: runs as large as half or twice the first one, and the commoner claim."""
    for run in told["runs"]:
        assert run["components_sha256"] == hashlib.sha256(json.dumps(run["components"]).encode()).hexdigest()
        assert run["components"] == sorted(run["components"])
        assert run["size"] == len(run["components"])
    first = told["runs"][0]["size"]
    sets = [set(run["components"]) for run in told["runs"] if first <= 2 * run["size"] <= 4 * first]
    claims = [run["claim"] for run in told["runs"]]
    return (
        float(np.mean([len(a & b) / len(a | b) for a, b in combinations(sets, 2)])),
        max(map(claims.count, claims)) / len(claims),
    )


RUNS = [
    universe(0, [1, 1, 0, 0, 0, 0, 0, 0]), universe(1, [1, 1, 1, 0, 0, 0, 0, 0], claim=False),
    universe(2, [1, 1, 0, 0, 0, 0, 0, 0], claim=False),
]  # fmt: skip
LARGE = universe(3, [1, 1, 1, 1, 1, 0, 0, 0], claim=False)


class TestCards:
    def test_a_card_counts_its_runs_and_can_be_counted_again(self):
        told = card(RUNS)
        pooled = told["metrics"]["pooled"]
        assert pooled["mean_pairwise_jaccard"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
        assert pooled["min_pairwise_jaccard"] == pytest.approx(2 / 3)
        assert recounted(told) == pytest.approx((pooled["mean_pairwise_jaccard"], pooled["modal_share"]))
        assert "mean_pairwise_jaccard_all_sizes" not in pooled

    def test_a_run_of_another_size_is_counted_apart(self):
        told = card([*RUNS, LARGE])
        pooled = told["metrics"]["pooled"]
        assert recounted(told)[0] == pytest.approx(pooled["mean_pairwise_jaccard"])
        assert pooled["mean_pairwise_jaccard"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
        assert pooled["mean_pairwise_jaccard_all_sizes"] == pytest.approx(
            (2 / 3 + 1 + 2 / 3 + 0.4 + 0.6 + 0.4) / 6
        )
        assert pooled["n_size_mismatched_excluded"] == 1
        # What is left out is said, and all together are held against the same bar.
        assert "leaves out 1 of 4" in told["notes"][1]
        every = told["verdict"]["checks"]["structural_stability_all_sizes"]
        assert (every["value"], every["passed"]) == (pooled["mean_pairwise_jaccard_all_sizes"], False)

    def test_agreeing_that_the_claim_fails_is_not_that_it_holds(self):
        checks = card([*RUNS, LARGE, *RUNS[1:]])["verdict"]["checks"]
        assert checks["claim_stability"]["value"] == pytest.approx(5 / 6)
        assert checks["claim_stability"]["passed"]
        assert checks["claim_holds"]["value"] == pytest.approx(1 / 6)
        assert not checks["claim_holds"]["passed"]

    def test_a_single_run_says_nothing_of_pairs(self):
        told = card(RUNS[:1])
        assert told["metrics"]["pooled"]["mean_pairwise_jaccard"] is None
        assert "structural_stability" not in told["verdict"]["checks"]

    def test_every_check_is_one_of_its_pooled_numbers_and_decides_nothing(self):
        told = card(RUNS)
        pooled, verdict = told["metrics"]["pooled"], told["verdict"]
        for name, source in (
            ("structural_stability", "mean_pairwise_jaccard"),
            ("claim_stability", "modal_share"),
        ):
            assert verdict["checks"][name]["value"] == pooled[source]
        for check in verdict["checks"].values():
            assert check["passed"] == (check["value"] >= check["threshold"])
            assert check["state"] == "inconclusive"
        assert (verdict["profile"], verdict["confirmatory_state"]) == ("diagnostic", "not_applicable")
        assert verdict["required_checks"] == []
        # What an audit does not give.
        assert "grade" not in verdict
        assert "created_at" not in told

    @pytest.mark.parametrize("runs", [RUNS, [*RUNS, LARGE], RUNS[:1]])
    def test_stresskit_counts_it_again(self, runs):
        theirs = pytest.importorskip(
            "stresskit.card", reason="github.com/Arth-Singh/Stresskit is not installed"
        )
        told = card(runs)
        with pytest.raises(ValueError, match="created_at"):
            theirs.validate_card_dict(told)
        told["created_at"] = "2026-11-29T15:22:46+00:00"
        with pytest.raises(ValueError, match="grade"):
            theirs.validate_card_dict(told)
        told["verdict"]["grade"] = "D"
        told["verdict"]["grade"] = theirs.verify_card_dict(told)["recomputed_grade"]
        assert theirs.verify_card_dict(told)["problems"] == []


def test_an_audits_files_for_other_tools(tmp_path):
    graph, told = circuit_tracer(EDGES, decoder(), slug="mean-circuit", told=""), card(RUNS)
    evidence = []
    (tmp_path / "evidence").mkdir()
    for use in ("circuits", "more circuits"):
        for array, made in (("circuit_tracer_json", graph), ("stability_card_json", told)):
            file = f"{len(evidence)}.npz"
            np.savez(tmp_path / "evidence" / file, **{array: packed(made)})
            evidence.append({"id": f"{use}/mean-{array[:5]}", "arrays": {array: file}})
    evidence.append({"id": "accuracy", "arrays": {}})
    content = {"evidence": evidence, "run": {"finished": "2026-11-29T15:22:46+00:00"}}
    (tmp_path / "audit.json").write_text(json.dumps(content))
    names = write_all(tmp_path, tmp_path / "out")
    made = {name: json.loads((tmp_path / "out" / name).read_bytes()) for name in names}
    listed = [one["slug"] for one in made["graphs/graph-metadata.json"]["graphs"]]
    assert listed == ["circuits-mean-circu", "more-circuits-mean-circu"]
    for slug in listed:
        # The viewer asks for graph_data/SLUG.json.
        assert made[f"graphs/{slug}.json"]["metadata"]["slug"] == slug
        viewer.opened(made[f"graphs/{slug}.json"])
    cards = [one for name, one in made.items() if name.startswith("cards/")]
    assert cards == [{**told, "created_at": "2026-11-29T15:22:46+00:00"}] * 2


def test_bytes_are_the_same_and_come_back():
    made = circuit_tracer(EDGES, decoder(), slug="a", told="→")
    assert unpacked(packed(made)) == made
    assert packed(made).tobytes() == packed(dict(reversed(list(made.items())))).tobytes()
