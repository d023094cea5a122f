"""The audited network with the weights of a checkpoint, and what it answers to rows of a table."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError, UnmetNeedError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dynamics.checkpoints import Checkpoint
    from xai_audit.mechanistic.network import Network
    from xai_audit.subject import Subject


def checkpoints(subject: Subject, name: str | None, method: str, key: str) -> tuple[Checkpoint, ...]:
    """The checkpoints of a name in ``model.checkpoints``, or the only ones; MethodError where it is not clear which."""
    known = subject.checkpoints
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name is not None and name in known:
        return known[name]
    there = ", ".join(one for one in known if one)
    if name is None:
        raise MethodError(f"{method}: say which checkpoints, as {key}: NAME; model.checkpoints has {there}")
    told = f"it has {there}" if there else f"it is one pattern without a name; leave {key} out"
    raise MethodError(f"{method}: no {name!r} in model.checkpoints; {told}")


def thinned(found: tuple[Checkpoint, ...], most: int) -> tuple[Checkpoint, ...]:
    """At most so many of them, evenly, the first and the last among them."""
    if len(found) <= most:
        return found
    places = np.unique(np.linspace(0, len(found) - 1, most).round().astype(int))
    return tuple(found[place] for place in places)


class Rewound:
    """One copy of a network that takes the weights of one checkpoint after another."""

    def __init__(self, network: Network) -> None:
        if network.opaque is not None:
            raise UnmetNeedError(f"it needs weights by name: {network.opaque}")
        self.network = replace(network, module=copy.deepcopy(network.module))

    def to(self, checkpoint: Checkpoint) -> Network:
        """The copy with these weights; MethodError where they are not of this network."""
        load(self.network.module, checkpoint.state(), checkpoint.name)
        return self.network


def load(module: torch.nn.Module, state: dict[str, torch.Tensor], name: str) -> None:
    """Put weights into a module; MethodError where one is missing, strange or of another shape.

    A tensor that the module has under two names may stand in the file once.
    """
    try:
        missing, strange = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[-1].strip()[:200]
        raise MethodError(f"{name} does not fit the network: {reason}") from None
    own = module.state_dict()
    given = {own[key].data_ptr() for key in state if key in own}
    lacking = [key for key in missing if own[key].data_ptr() not in given]
    if lacking or strange:
        what = (
            f"it lacks {', '.join(lacking[:3])}"
            if lacking
            else f"it has {', '.join(list(strange)[:3])} beside"
        )
        raise MethodError(f"{name} does not fit the network: {what}")


def equal(network: Network, other: Network) -> bool:
    """Whether two networks of one architecture hold the same numbers."""
    import torch

    one, two = network.module.state_dict(), other.module.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def losses(network: Network, outputs: NDArray[np.float64], target: NDArray[Any]) -> NDArray[np.float64]:
    """The loss of each row, (rows,): cross-entropy in nats, in float64; the squared error where targets are numbers.

    UnmetNeedError for outputs that are margins, which give no probabilities.
    """
    import torch

    if target.dtype.kind == "f":
        return np.asarray((outputs[:, 0] - target) ** 2)
    labels = torch.from_numpy(np.asarray(target, dtype=np.int64))[:, None]
    raw = torch.from_numpy(outputs)
    if network.link == "softmax":
        chosen = torch.log_softmax(raw, dim=1).gather(1, labels)
    elif network.link == "sigmoid" and raw.shape[1] == 1:
        chosen = torch.nn.functional.logsigmoid(torch.cat([-raw, raw], dim=1)).gather(1, labels)
    elif network.link == "sides":
        raise UnmetNeedError("it needs probabilities; this network gives margins")
    else:
        # Probabilities as they are: 0 would make the mean infinite.
        scores = network.linked(raw)
        if scores.shape[1] == 1:
            scores = torch.cat([1 - scores, scores], dim=1)
        chosen = scores.gather(1, labels).clamp(min=1e-300).log()
    found: NDArray[np.float64] = -chosen[:, 0].numpy()
    return found


def right(network: Network, outputs: NDArray[np.float64], target: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row's most probable class is its own, (rows,)."""
    import torch

    scores: NDArray[np.float64] = network.linked(torch.from_numpy(outputs)).numpy()
    decided = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] >= 0.5).astype(np.int64)
    return np.asarray(decided == target)


def labelled(frame: pd.DataFrame, target: NDArray[Any] | None) -> NDArray[np.bool_]:
    """Which rows have a label."""
    if target is None:
        return np.zeros(len(frame), dtype=np.bool_)
    return np.isfinite(target) if target.dtype.kind == "f" else target >= 0
