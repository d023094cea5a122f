"""Edge specs of networks that are known by their structure: plain, Llama-like and GPT-2-like decoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.errors import MethodError
from xai_audit.mechanistic.circuits.residual import EdgeSpec, Readers, Writers, part_columns

if TYPE_CHECKING:
    import torch

KNOWN = "plain (blocks.N.attn.q_proj), Llama-like (layers.N.self_attn.q_proj) and GPT-2-like (h.N.attn.c_attn) decoders"
_AFTER = ("post_feedforward_layernorm", "pre_feedforward_layernorm")
"""Norms by which a decoder normalises what it writes as well: its residual is not the plain sum."""


def edge_spec(module: torch.nn.Module) -> EdgeSpec:
    """The edges of a module: writers are embedding, heads and MLPs; readers are q, k, v, MLPs and the output.

    MethodError where the structure is none of `KNOWN`; `ResidualGraph.check` says whether the numbers agree with it.
    """
    paths = {path for path, _ in module.named_modules()}
    for path in sorted(paths, key=len):
        stem = f"{path}." if path else ""
        if {f"{stem}blocks.0.attn.q_proj", f"{stem}embed"} <= paths:
            return _ours(module, stem)
        if {f"{stem}layers.0.self_attn.q_proj", f"{stem}embed_tokens", f"{stem}norm"} <= paths:
            return _llama(module, stem)
        if {f"{stem}h.0.attn.c_attn", f"{stem}ln_f"} <= paths:
            return _gpt2(module, stem)
    raise MethodError(f"edges are known of {KNOWN}; declare them as an EdgeSpec, or take level: node")


def _layers(module: torch.nn.Module, path: str) -> int:
    return len(list(module.get_submodule(path).children()))


def _ours(module: torch.nn.Module, stem: str) -> EdgeSpec:
    parts: list[Writers | Readers] = [Writers(("embed",), f"{stem}embed", source=True)]
    stages = [f"{stem}embed"]
    for layer in range(_layers(module, f"{stem}blocks")):
        block = f"{stem}blocks.{layer}"
        attention = module.get_submodule(f"{block}.attn")
        heads = int(attention.n_heads)
        for letter in "qkv":
            path = f"{block}.attn.{letter}_proj"
            width = module.get_submodule(path).out_features // heads
            parts.append(
                Readers(
                    tuple(f"a{layer}.h{head}.{letter}" for head in range(heads)),
                    f"{block}.ln1",
                    path,
                    part_columns(heads, int(width)),
                )
            )
        parts.append(
            Writers(tuple(f"a{layer}.h{head}" for head in range(heads)), f"{block}.attn.o_proj", heads=True)
        )
        stages.append(f"{block}.attn")
        if getattr(module.get_submodule(block), "mlp", None) is not None:
            parts += [Readers((f"m{layer}",), f"{block}.ln2"), Writers((f"m{layer}",), f"{block}.mlp")]
            stages.append(f"{block}.mlp")
    parts.append(_output(module, f"{stem}ln_f", f"{stem}unembed"))
    return EdgeSpec(tuple(parts), tuple(stages))


def _output(module: torch.nn.Module, norm: str, unembed: str | None) -> Readers:
    """The output as a reader: through its linear layer where that is known, else the norm's input."""
    if unembed is None:
        return Readers(("output",), norm)
    rows = module.get_submodule(unembed).out_features
    return Readers(("output",), norm, unembed, part_columns(1, int(rows)))


def _llama(module: torch.nn.Module, stem: str) -> EdgeSpec:
    parts: list[Writers | Readers] = [Writers(("embed",), f"{stem}embed_tokens", source=True)]
    stages = [f"{stem}embed_tokens"]
    for layer in range(_layers(module, f"{stem}layers")):
        block = f"{stem}layers.{layer}"
        own = {path for path, _ in module.get_submodule(block).named_children()}
        if own & set(_AFTER):
            raise MethodError(
                f"{block} normalises what it writes: its residual is not a plain sum; take level: node"
            )
        attention = module.get_submodule(f"{block}.self_attn")
        width = int(attention.head_dim)
        for letter in "qkv":
            path = f"{block}.self_attn.{letter}_proj"
            heads = int(module.get_submodule(path).out_features) // width
            names = tuple(f"a{layer}.h{head}.{letter}" for head in range(heads))
            parts.append(Readers(names, f"{block}.input_layernorm", path, part_columns(heads, width)))
        heads = int(module.get_submodule(f"{block}.self_attn.o_proj").in_features) // width
        parts += [
            Writers(
                tuple(f"a{layer}.h{head}" for head in range(heads)), f"{block}.self_attn.o_proj", heads=True
            ),
            Readers((f"m{layer}",), f"{block}.post_attention_layernorm"),
            Writers((f"m{layer}",), f"{block}.mlp"),
        ]
        stages += [f"{block}.self_attn", f"{block}.mlp"]
    parts.append(Readers(("output",), f"{stem}norm"))
    return EdgeSpec(tuple(parts), tuple(stages))


def _gpt2(module: torch.nn.Module, stem: str) -> EdgeSpec:
    parts: list[Writers | Readers] = [Writers(("embed",), f"{stem}drop", source=True)]
    stages = [f"{stem}drop"]
    for layer in range(_layers(module, f"{stem}h")):
        block = f"{stem}h.{layer}"
        attention = module.get_submodule(f"{block}.attn")
        heads = int(attention.num_heads)
        width = int(attention.head_dim)
        columns = part_columns(3 * heads, width)
        names = tuple(f"a{layer}.h{head}.{letter}" for letter in "qkv" for head in range(heads))
        parts += [
            Readers(names, f"{block}.ln_1", f"{block}.attn.c_attn", columns),
            Writers(tuple(f"a{layer}.h{head}" for head in range(heads)), f"{block}.attn.c_proj", heads=True),
            Readers((f"m{layer}",), f"{block}.ln_2"),
            Writers((f"m{layer}",), f"{block}.mlp"),
        ]
        stages += [f"{block}.attn", f"{block}.mlp"]
    parts.append(Readers(("output",), f"{stem}ln_f"))
    return EdgeSpec(tuple(parts), tuple(stages))
