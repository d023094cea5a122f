"""What a search for a circuit asks: prompts, how elements are scored and ablated, and which variants must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.explainers.dictionaries.params import Training
from xai_audit.mechanistic.circuits.task import Ablation
from xai_audit.mechanistic.sites import Site
from xai_audit.spec import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def _modules(sites: Iterable[str]) -> list[str]:
    """The same; ValueError where one is no site, or less than what flows through a module."""
    asked = list(sites)
    for text in asked:
        try:
            site = Site.parse(text)
        except MethodError as error:
            raise ValueError(str(error)) from None
        if site.head is not None or site.pos is not None:
            message = f"{text}: name the module; split: heads tells its heads apart, and positions are not"
            raise ValueError(message)
    return asked


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


class Folder(Frozen):
    """Where a dictionary lies."""

    path: str
    """A folder in SAELens' format, or of an audit with sparse_autoencoder; relative to the spec."""
    sha256: Digest | None = None
    """Checked before it is used: the root over cfg.json and the weights; of an audit, the file that holds the tensors."""


class Dictionaries(Training):
    """Of level feature: where the dictionary of each site lies, or how it is trained."""

    folders: dict[str, str | Folder] = Field(default_factory=dict)
    """By site, the folder of a dictionary that is read and not trained: a path, or path and sha256. In networks with
    permuted weights topk dictionaries of as many latents, of which as many fire, are trained in its place."""
    k: int = Field(16, ge=1)
    """Latents that fire for an activation."""
    tokens: int = Field(200_000, ge=1)
    """Activations of the training; those of the data are gone through again where they are fewer."""

    @field_validator("folders")
    @classmethod
    def _by_site(cls, folders: dict[str, str | Folder]) -> dict[str, str | Folder]:
        sites = _modules(folders)
        if len({Site.parse(text) for text in sites}) < len(sites):
            raise ValueError("each site is named once")
        return folders

    @model_serializer(mode="wrap")
    def _named(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Draws are seeded by the parameters: what names no folder draws as it did before there were any.
        told: dict[str, Any] = handler(self)
        return told if self.folders else {key: value for key, value in told.items() if key != "folders"}

    def folder(self, site: Site) -> str | None:
        """The path of the folder that is named for a site; None where its dictionary is trained."""
        for text, named in self.folders.items():
            if Site.parse(text) == site:
                return named if isinstance(named, str) else named.path
        return None


SIZES = ("variant", "expansion", "k", "l1")
"""Of dictionaries that are trained: what their latents are."""


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
    """Level feature: where the dictionary of each site lies, or how it is trained; null for the defaults."""
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
        if self.dictionaries is not None:
            _settled(self.dictionaries, self.sites)
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
        return _distinct(tuple(_modules(sites)))


def _settled(asked: Dictionaries, sites: tuple[str, ...]) -> None:
    """ValueError where a folder is of no site of the circuit, or nothing is left that a key is of."""
    known = {Site.parse(text) for text in sites}
    for text in asked.folders:
        if Site.parse(text) not in known:
            raise ValueError(f"dictionaries.folders: {text} is not among sites ({', '.join(sites)})")
    trained = [text for text in sites if asked.folder(Site.parse(text)) is None]
    for key in SIZES:
        if key in asked.model_fields_set and not trained:
            raise ValueError(
                f"dictionaries.{key}: of dictionaries that are trained; folders names one for every site"
            )
