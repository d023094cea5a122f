"""What a search for a circuit asks: prompts, how elements are scored and ablated, and which variants must agree."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.explainers.dictionaries.params import Training
from xai_audit.mechanistic.circuits.task import Ablation
from xai_audit.mechanistic.sites import Site

Search = Literal["eap", "eap_ig", "mask_gradient", "exact", "acdc"]
Metric = Literal["logit_difference", "log_probability", "divergence"]
FEWEST = 20
"""Prompts that either half needs."""


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(value)) < len(value):
        message = "each is named once"
        raise ValueError(message)
    return value


class Multiverse(Frozen):
    """Specifications that could have been chosen instead: each ablation with each of these."""

    resamples: int = Field(5, ge=1, le=100)
    """Bootstrap resamples of the prompts."""
    metrics: tuple[Metric, ...] = Field(("logit_difference", "log_probability"), min_length=1)
    """How the behaviour is measured; of a regression, the output alone."""
    thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.85, 0.95), min_length=1)
    """The faithfulness at which a circuit is cut."""
    templates: bool | tuple[str, ...] | None = None
    """The circuit is searched again on the prompts of each template alone, and judged on those of all others; true or a
    list: these must be there; null: those that the prompts name, if any; false: all prompts together only."""

    @field_validator("templates")
    @classmethod
    def _templates(cls, value: bool | tuple[str, ...] | None) -> bool | tuple[str, ...] | None:
        if value == ():
            raise ValueError("name a template, or false for none")
        return _distinct(value) if isinstance(value, tuple) else value

    @field_validator("metrics", "thresholds")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return _distinct(value)


class Dictionaries(Training):
    """Of level feature: how the dictionary of each site is trained."""

    k: int = Field(16, ge=1)
    """Latents that fire for an activation."""
    tokens: int = Field(200_000, ge=1)
    """Activations of the training; those of the data are gone through again where they are fewer."""


class CircuitParams(Frozen):
    """Which behaviour, which elements, and how they are found and ablated."""

    prompts: str | None = None
    """A set of data.sets with clean and corrupted; null: each test row against one that is decided otherwise."""
    method: Search = "eap_ig"
    """How elements are scored: eap, eap_ig, mask_gradient, exact (patching), or acdc."""
    level: Literal["node", "edge", "feature"] = "node"
    """node: outputs of modules and heads, of any network; edge: of additive residuals and of plain stacks of layers;
    feature: latents of dictionaries trained at the sites, with what they do not explain as an error node of each site."""
    ablation: Annotated[tuple[Ablation, ...], BeforeValidator(_several)] = Field(
        ("resample", "mean", "zero"), min_length=1
    )
    """What elements outside the circuit carry; one claim for each."""
    metric: Metric = "logit_difference"
    """The number that is the behaviour; of a regression, the output."""
    sites: tuple[str, ...] = ()
    """Levels node and feature: modules, as path or path#in; empty at level node for embedding, heads and MLPs of decoders
    that are known."""
    split: Literal["whole", "heads", "units"] | None = None
    """Level node: what of a site is one element; null: heads where a site is what mixes them (o_proj#in), else whole."""
    dictionaries: Dictionaries | None = None
    """Level feature: how the dictionary of each site is trained; null for the defaults."""
    threshold: float = Field(0.85, gt=0, lt=1)
    """The circuit is the smallest that keeps this share of the behaviour on the prompts it is found on."""
    steps: int = Field(5, ge=1, le=100)
    """Of eap_ig and mask_gradient."""
    rows: int = Field(200, ge=2 * FEWEST)
    """Prompts, half of which find the circuit and half judge it."""
    random_circuits: int = Field(200, ge=19, le=100_000)
    """Circuits of equal size; the smallest p there can be is one over one more."""
    twins: int = Field(10, ge=3, le=100)
    """Networks with permuted weights in which the same is searched."""
    top: int = Field(20, ge=1, le=100)
    """Elements of a circuit that are shown."""
    multiverse: Multiverse | None = Multiverse()
    """Specifications a claim must survive; null for none."""

    @model_validator(mode="after")
    def _level(self) -> CircuitParams:
        if self.level == "feature" and not self.sites:
            raise ValueError("level: feature needs sites, whose dictionaries are trained")
        if self.level == "feature" and self.split is not None:
            raise ValueError("split is of level node")
        if self.level != "feature" and self.dictionaries is not None:
            raise ValueError("dictionaries are of level feature")
        if self.prompts is None and self.multiverse is not None and self.multiverse.templates:
            raise ValueError("multiverse.templates are those of prompts; name a set of data.sets as prompts")
        return self

    @field_validator("ablation")
    @classmethod
    def _ablations(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return _distinct(value)

    @field_validator("sites")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        for text in sites:
            try:
                site = Site.parse(text)
            except MethodError as error:
                raise ValueError(str(error)) from None
            if site.head is not None or site.pos is not None:
                message = (
                    f"{text}: name the module; split: heads tells its heads apart, and positions are not"
                )
                raise ValueError(message)
        return _distinct(sites)
