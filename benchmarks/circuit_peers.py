# ruff: noqa: ANN001, ANN201, ANN202
"""Planted programs beside AutoCircuit and TransformerLens: whose edge scores find the true edges.

    python -m benchmarks.circuit_peers

The peers cannot share an environment, with each other or with this project: run it by the python of one that holds
``transformer-lens<3`` with ``auto-circuit``, then by that of one with ``transformer-lens==4.3.0``; what is not installed is
left out by name. The weights of each program are copied into AutoCircuit's model class, whose outputs must agree with ours
to 1e-9. TransformerLens 4.3.0 refuses: its edges need hooks of each head that models built without a hub do not have. Ends
with 1 where a peer's best AUROC is above our least.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests.mechanistic.circuits import programs  # noqa: E402
from xai_audit.mechanistic.circuits import attribution, patching  # noqa: E402
from xai_audit.mechanistic.circuits.graphs import Element  # noqa: E402
from xai_audit.mechanistic.circuits.recovery import recovery, truth_of  # noqa: E402
from xai_audit.mechanistic.circuits.residual import ResidualGraph  # noqa: E402
from xai_audit.mechanistic.circuits.specs import edge_spec  # noqa: E402
from xai_audit.mechanistic.circuits.task import Task, others  # noqa: E402

OURS = {"EAP": attribution.eap, "EAP-IG": attribution.eap_ig, "exact": patching.exact}
ROWS = 32


def written(name, ablation):
    made = programs.program(name, np.random.default_rng(11))
    prompts = made.prompts(np.random.default_rng([5, 11]), ROWS)
    graph = ResidualGraph(made.model, edge_spec(made.model))
    task = Task(
        graph, prompts.clean, others(graph, prompts.clean, prompts.corrupted, ablation), prompts.metric
    )
    return made, prompts, task


def sizes(shape):
    """The config that both versions of TransformerLens share."""
    return {
        "n_layers": shape.layers, "d_model": shape.width, "n_ctx": shape.positions, "d_head": shape.head_width,
        "n_heads": shape.heads, "d_mlp": shape.mlp or 4 * shape.width, "d_vocab": shape.vocabulary,
        "d_vocab_out": shape.outputs or shape.vocabulary, "act_fn": "relu", "normalization_type": None,
        "attention_dir": "causal" if shape.causal else "bidirectional", "attn_only": not shape.mlp,
        "dtype": torch.float64,
    }  # fmt: skip


def agree(own, other, ids):
    with torch.no_grad():
        apart = float((own(ids) - other(ids)).abs().max())
    assert apart < 1e-9, f"the copy's outputs are {apart} apart"


# -------------------------------------------------------------------------------------------------------- AutoCircuit
def hooked(model):
    """A program as a HookedTransformer."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    shape = model.shape
    found = HookedTransformer(
        HookedTransformerConfig(
            **sizes(shape), use_attn_result=True, use_split_qkv_input=True, use_hook_mlp_in=True, device="cpu"
        )
    )
    state = {
        "embed.W_E": model.embed.token.weight, "pos_embed.W_pos": model.embed.position.weight,
        "unembed.W_U": model.unembed.weight.T, "unembed.b_U": model.unembed.bias,
    }  # fmt: skip
    for layer, block in enumerate(model.blocks):
        at = f"blocks.{layer}.attn"
        for letter in "qkv":
            one = getattr(block.attn, f"{letter}_proj")
            state[f"{at}.W_{letter.upper()}"] = one.weight.unflatten(0, (shape.heads, -1)).transpose(1, 2)
            state[f"{at}.b_{letter.upper()}"] = one.bias.unflatten(0, (shape.heads, -1))
        state[f"{at}.W_O"] = block.attn.o_proj.weight.T.unflatten(0, (shape.heads, -1))
        state[f"{at}.b_O"] = block.attn.o_proj.bias
        if shape.mlp:
            for place, side in ((0, "in"), (2, "out")):
                state[f"blocks.{layer}.mlp.W_{side}"] = block.mlp[place].weight.T
                state[f"blocks.{layer}.mlp.b_{side}"] = block.mlp[place].bias
    known = found.state_dict()
    missing = {key for key in known if key not in state and not key.endswith(("mask", "IGNORE"))}
    assert not missing, missing
    found.load_state_dict({**known, **state})
    return found.eval()


def named(text):
    """Our name of a node of AutoCircuit's."""
    if text.startswith("Resid"):
        return "embed" if text == "Resid Start" else "output"
    if text.startswith("MLP"):
        return f"m{text.split()[1]}"
    parts = text[1:].split(".")
    return ".".join([f"a{parts[0]}", f"h{parts[1]}", *(part.lower() for part in parts[2:])])


def auto_circuit(name, ablation):
    """AutoCircuit's scores of our edges, by method."""
    from auto_circuit.data import PromptDataLoader, PromptDataset
    from auto_circuit.prune_algos.ACDC import acdc_prune_scores
    from auto_circuit.types import AblationType
    from auto_circuit.utils.ablation_activations import batch_src_ablations
    from auto_circuit.utils.graph_utils import patch_mode, patchable_model, set_all_masks, train_mask_mode

    made, prompts, task = written(name, ablation)
    whole = hooked(made.model)
    agree(made.model, whole, prompts.clean)
    model = patchable_model(whole, factorized=True, separate_qkv=True)
    answers = [torch.zeros(1, dtype=torch.long)] * ROWS  # the loss is the program's own metric
    loader = PromptDataLoader(
        PromptDataset(prompts.clean, prompts.corrupted, answers, answers),
        None,
        0,
        batch_size=ROWS,
        shuffle=False,
    )
    kind = AblationType.ZERO if ablation == "zero" else AblationType.RESAMPLE
    carried = batch_src_ablations(model, loader, kind, None if ablation == "zero" else "corrupt")
    (batch,) = loader

    def by_edge(scores):
        found = {}
        for edge in model.edges:
            one = float(edge.prune_score(scores).abs())
            found[Element(named(edge.src.name), named(edge.dest.name))] = min(one, 1e300)
        assert set(found) == set(task.graph.elements)
        return np.asarray([found[one] for one in task.graph.elements])

    def gradients(values):
        with train_mask_mode(model):
            for value in values:
                set_all_masks(model, val=value)
                with patch_mode(model, carried[batch.key].clone()):
                    prompts.metric(model(batch.clean), torch.arange(ROWS)).mean().backward()
            found = {one.module_name: one.patch_mask.grad.clone() for one in model.dest_wrappers}
        for one in model.dest_wrappers:
            one.patch_mask.grad = None
        return by_edge(found)

    found = {
        "mask gradient at 0 (EAP)": gradients([0.0]),
        "mask gradient, 5 steps": gradients(np.linspace(0, 1, 6)),
    }
    if ablation == "resample":  # its ACDC has no other
        found["ACDC"] = by_edge(acdc_prune_scores(model, loader, None, faithfulness_target="mse"))
    return task, truth_of(task.graph, made.truth), found


# ---------------------------------------------------------------------------------------------------- TransformerLens 4
def transformer_lens(name, ablation):
    """TransformerLens 4's scores of edges; it has none for models of its own class, and says so."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, attribution_patch

    if ablation == "zero":
        raise NotImplementedError("it scores against a corrupted input, there is no zero ablation")
    made, prompts, _ = written(name, ablation)
    # Its edges are known of models with MLPs alone.
    config = {**sizes(made.model.shape), "attn_only": False}
    model = TransformerBridge.boot_native(TransformerBridgeConfig(**config), dtype=torch.float64).eval()
    attribution_patch(
        model, prompts.clean[:1], prompts.corrupted[:1],
        lambda logits: prompts.metric(logits, torch.tensor([0])).sum(), EdgeAttributionConfig("edge"),
    )  # fmt: skip
    raise AssertionError("it scores edges of its own models: write the comparison")


# ------------------------------------------------------------------------------------------------------------- compared
def peers():
    """What is installed here, by name: (peer and version, scores of a program under an ablation)."""
    try:
        version = importlib.metadata.version("transformer-lens")
    except importlib.metadata.PackageNotFoundError:
        print("not run: there is no transformer-lens in this environment")
        return
    if int(version.split(".")[0]) >= 4:
        yield f"TransformerLens {version}", transformer_lens
        return
    print(f"not run: TransformerLens {version} scores no edges by itself (since 4.3.0)")
    try:
        yield f"AutoCircuit {importlib.metadata.version('auto-circuit')}", auto_circuit
    except importlib.metadata.PackageNotFoundError:
        print("not run: there is no auto-circuit in this environment")


def main():
    torch.set_num_threads(1)
    below = 0
    for peer, scored in peers():
        for name in programs.NAMES:
            for ablation in ("zero", "resample"):
                try:
                    task, truth, theirs = scored(name, ablation)
                except NotImplementedError as error:
                    print(f"     {peer}, {name}, {ablation}: not compared: {error}", flush=True)
                    continue
                ours = {how: recovery(attribution.mean_absolute(of(task)), truth) for how, of in OURS.items()}
                other = {how: recovery(scores, truth) for how, scores in theirs.items()}
                said = [
                    ", ".join(f"{how} {one.auroc:.3f}/{one.ap:.3f}" for how, one in side.items())
                    for side in (ours, other)
                ]
                # Our least against their best.
                holds = (
                    min(one.auroc for one in ours.values()) >= max(one.auroc for one in other.values()) - 1e-9
                )
                below += not holds
                print(f"{'ok  ' if holds else 'MISS'} {name}, {ablation}, AUROC/AP: ours {said[0]}; {peer}: {said[1]} "
                      "(bar: our least at least their best)", flush=True)  # fmt: skip
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
