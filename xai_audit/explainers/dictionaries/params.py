"""What a spec may say of a dictionary."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.mechanistic.dictionaries.recipe import Variant
from xai_audit.mechanistic.sites import Site


class Grid(Frozen):
    """Trainings over which a scaling law is fitted: every expansion with every k."""

    expansions: tuple[float, ...] = (1, 2, 4)
    """Latents as multiples of the site's features; at least three."""
    k: tuple[int, ...] = (8, 16, 32)
    """At least three."""
    tokens: int = Field(200_000, ge=1)
    """Activations of each training."""

    @model_validator(mode="after")
    def _enough(self) -> Grid:
        if len(set(self.expansions)) < 3 or len(set(self.k)) < 3:
            raise ValueError("a law needs at least three expansions and three k")
        if not all(1 <= one <= 64 for one in self.expansions) or not all(one >= 1 for one in self.k):
            raise ValueError("expansions are 1 to 64, k at least 1")
        return self


class Training(Frozen):
    """How a dictionary of a site is trained, and on what."""

    data: str | None = None
    """A set of data.sets; null for the training rows, else the test rows. A fifth of it is held out."""
    variant: Variant = "topk"
    """topk and batchtopk with AuxK, matryoshka, jumprelu, or relu with L1."""
    expansion: float = Field(4, ge=1, le=64)
    """Latents as a multiple of the site's features."""
    k: int = Field(32, ge=1)
    """Latents that fire for an activation."""
    tokens: int = Field(1_000_000, ge=1)
    """Activations of the training; those of the data are gone through again where they are fewer."""
    batch: int = Field(1024, ge=1)
    """Activations of one step."""
    lr: float = Field(2e-3, gt=0)
    """The learning rate of Adam, at its largest."""
    l1: float = Field(0.1, ge=0)
    """Of relu: the weight of the L1 term, weighted by the lengths of decoder rows."""


class SparseAutoencoderParams(Training):
    """Where a dictionary is trained, on what, how large, and what is asked of its features."""

    site: str | None = None
    """Where in the network: path, path#in, with @head=H and @pos=P."""
    seeds: int = Field(2, ge=2, le=10)
    """Trainings that differ only by their seed, for stability."""
    features: int = Field(50, ge=2, le=2000)
    """Latents that are described and scored, drawn among those that fire often enough."""
    effects: int = Field(5, ge=0, le=100)
    """Latents that are taken out, those of the largest direct effect on other documents."""
    rows: int = Field(100, ge=10)
    """Rows on which loss and effects are measured, at most."""
    directions: int = Field(10, ge=5)
    """Random directions beside each latent that is taken out."""
    scaling: Grid | None = None
    """Fit a scaling law over a grid of trainings; null for none."""

    @field_validator("site")
    @classmethod
    def _site(cls, site: str | None) -> str | None:
        try:
            return site if site is None else str(Site.parse(site))
        except MethodError as error:
            raise ValueError(str(error)) from None
