"""Which templates of the prompts are specifications of their own, and which are too rare for that, or to be named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.explainers.circuits.params import FEWEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.params import CircuitParams
    from xai_audit.explainers.circuits.prompts import Prompts


@dataclass(frozen=True, eq=False)
class Templates:
    """Those that are asked for, by what can be done with them."""

    used: tuple[str, ...]
    """Specifications of their own."""
    unused: tuple[str, ...]
    """Too few prompts in a half, or too few of any other wording to judge what is found."""
    withheld: int
    """How many are too rare to be named."""
    codes: NDArray[np.int64]
    """(prompts,): which each has, those used first, then unused, then withheld; -1 for none that is asked for."""

    def told(self, finds: NDArray[np.bool_]) -> dict[str, Any]:
        """As they stand among params."""
        return {
            "templates": [
                {
                    "name": name,
                    "prompts_that_find": int(((self.codes == place) & finds).sum()),
                    "others_that_judge": int(((self.codes != place) & ~finds).sum()),
                }
                for place, name in enumerate(self.used)
            ],
            "templates_not_used": list(self.unused),
            "templates_withheld": self.withheld,
        }

    def limits(self, least: int) -> tuple[str, ...]:
        """What is not used, and why."""
        said = [
            f"no specification of its own, with fewer than {FEWEST} prompts of it or of other wording in a half: template "
            f"{quoted(name)}"
            for name in self.unused
        ]
        if self.withheld:
            what = "template is" if self.withheld == 1 else "templates are"
            said.append(f"{self.withheld} {what} neither used nor named, with fewer than {least} prompts")
        return tuple(said)


def quoted(name: str) -> str:
    """A name of the data among our own words."""
    return f"“{name}”"


def templates(prompts: Prompts, params: CircuitParams, least: int) -> Templates | None:
    """Those that the multiverse asks for, named from ``least`` prompts on; None where none are asked for, or there."""
    asked = None if params.multiverse is None else params.multiverse.templates
    if params.multiverse is None or asked is False or prompts.template is None:
        return None
    places = {name: place for place, name in enumerate(prompts.templates)}
    known = [name for name in places if not isinstance(asked, tuple) or name in asked]
    told = [name for name in known if prompts.templates[name] >= least]
    used = [name for name in told if _enough(prompts.template == places[name], prompts.finds)]
    unused = [name for name in told if name not in used]
    order = [*used, *unused, *(name for name in known if name not in told)]
    codes = np.full(len(prompts.template), -1, dtype=np.int64)
    for place, name in enumerate(order):
        codes[prompts.template == places[name]] = place
    return Templates(tuple(used), tuple(unused), len(known) - len(told), codes)


def _enough(own: NDArray[np.bool_], finds: NDArray[np.bool_]) -> bool:
    return all(int((side & half).sum()) >= FEWEST for side in (own, ~own) for half in (finds, ~finds))
