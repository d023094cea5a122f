"""Modular arithmetic in a table: its numbers and results, Fourier measures by checkpoint, and frequencies taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.training import weights
from xai_audit.mechanistic.dynamics import fourier
from xai_audit.mechanistic.dynamics.addition import Modular, Operation

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dynamics.checkpoints import Checkpoint
    from xai_audit.mechanistic.dynamics.fourier import Fourier
    from xai_audit.mechanistic.network import Network
    from xai_audit.subject import Rows, Subject


@dataclass(frozen=True, eq=False)
class Task:
    """The task as the audited table has it."""

    modular: Modular
    frame: pd.DataFrame
    """All pairs, in the order of ``modular.pairs``."""
    columns: NDArray[np.int64]
    """Which output is the result 0, 1, ..."""

    def logits(self, network: Network) -> torch.Tensor:
        """Logits of all pairs, (p^2, p), in the order of results."""
        import torch

        return torch.from_numpy(network.outputs(self.frame)[:, self.columns])


def task(subject: Subject, numbers: tuple[str, str], operation: Operation) -> Task:
    """The declared task; MethodError where the table holds another one."""
    assert subject.train is not None
    named = [column.name for column in subject.columns]
    for name in numbers:
        if name not in named:
            raise MethodError(f"modular: no feature {name!r}; there are {', '.join(named[:8])}")
    if sorted(named) != sorted(numbers):
        raise MethodError(f"modular: the two numbers are all features; there are {', '.join(named[:8])}")
    p = len(subject.classes)
    words = [str(label) for label in subject.classes]
    if sorted(words) != sorted(map(str, range(p))):
        raise MethodError(f"modular: the classes are the results 0 to {p - 1}")
    columns = np.array([words.index(str(result)) for result in range(p)])
    chosen = np.zeros((p, p), dtype=np.bool_)
    for rows in (subject.train, subject.test):
        pairs = _pairs(rows, numbers, p)
        a, b = pairs.T
        expected = (a + b if operation == "add" else a - b) % p
        assert rows.target is not None
        known = rows.target >= 0
        results = np.array([int(word) for word in words])[rows.target]
        wrong = int((results[known] != expected[known]).sum())
        if wrong:
            raise MethodError(
                f"modular: {wrong:,} of {int(known.sum()):,} rows have another target than {numbers[0]} "
                f"{'+' if operation == 'add' else '-'} {numbers[1]} modulo {p}"
            )
        if rows is subject.train:
            chosen[a, b] = True
    try:
        found = Modular(p, chosen, operation)
    except ValueError as error:
        raise MethodError(f"modular: {error}") from None
    return Task(found, _frame(subject.test.frame, numbers, found.pairs), columns)


def _pairs(rows: Rows, numbers: tuple[str, str], p: int) -> NDArray[np.int64]:
    values = np.asarray(rows.frame[list(numbers)], dtype=np.float64)
    whole = np.isfinite(values) & (values == np.floor(values)) & (values >= 0) & (values < p)
    if not whole.all():
        raise MethodError(f"modular: {numbers[0]} and {numbers[1]} are whole numbers from 0 to {p - 1}")
    return values.astype(np.int64)


def _frame(like: pd.DataFrame, numbers: tuple[str, str], pairs: NDArray[np.int64]) -> pd.DataFrame:
    import pandas as pd

    columns = {name: pairs[:, place] for place, name in enumerate(numbers)}
    return pd.DataFrame({name: columns[name].astype(like[name].to_numpy().dtype) for name in like.columns})


@dataclass(frozen=True, eq=False)
class Spectra:
    """Fourier measures of every checkpoint with the key frequencies of the last."""

    keys: tuple[int, ...]
    measures: tuple[Fourier, ...]
    moving: tuple[Fourier | None, ...]
    """With the key frequencies of the checkpoint itself; None where its logits hold none."""
    energies: NDArray[np.float64]
    """(checkpoints, p // 2 + 1)."""


def spectra(network: Network, found: Sequence[Checkpoint], asked: Task, share: float) -> Spectra | None:
    """The measures of every checkpoint; None where the last one's logits do not depend on the result."""
    rewound = weights.Rewound(network)
    keys = fourier.key_frequencies(
        fourier.by_result(asked.logits(rewound.to(found[-1])), asked.modular), share
    )
    if not keys:
        return None
    measures, moving, energies = [], [], []
    for checkpoint in found:
        logits = asked.logits(rewound.to(checkpoint))
        table = fourier.by_result(logits, asked.modular)
        own = fourier.key_frequencies(table, share)
        measures.append(fourier.measured(logits, asked.modular, keys))
        moving.append(fourier.measured(logits, asked.modular, own) if own else None)
        energies.append(fourier.energies(table))
    return Spectra(keys, tuple(measures), tuple(moving), np.stack(energies))


def embedding_of(network: Network, named: str | None, p: int) -> str:
    """The parameter with a row for each number; MethodError where none or several could be."""
    import torch

    if named is not None:
        try:
            one = network.module.get_parameter(named)
        except AttributeError:
            known = [name for name, value in network.module.named_parameters() if value.ndim == 2]
            raise MethodError(f"modular: no parameter {named!r}; there are {', '.join(known[:8])}") from None
        if one.ndim != 2 or len(one) < p:
            raise MethodError(
                f"modular: {named} is {tuple(one.shape)}; a row for each of {p} numbers is asked"
            )
        return named
    found = [
        f"{path}.weight" if path else "weight"
        for path, module in network.module.named_modules()
        if isinstance(module, torch.nn.Embedding) and len(module.weight) >= p
    ]
    if len(found) != 1:
        told = f"there are {', '.join(found)}" if found else "there is no Embedding with so many rows"
        raise MethodError(
            f"modular: name the parameter with a row for each number, as embedding: NAME; {told}"
        )
    return found[0]


class Edited:
    """A network whose embedding is given without some frequencies of the number, or with some alone."""

    def __init__(self, network: Network, embedding: str, asked: Task) -> None:
        import copy

        self._network = replace(network, module=copy.deepcopy(network.module))
        self._parameter = self._network.module.get_parameter(embedding)
        self._whole = self._parameter.detach().clone()
        self._task = asked

    def without(self, frequencies: Sequence[int]) -> torch.Tensor:
        """Logits of all pairs with these frequencies taken out of the embedding; none: as it is."""
        return self._asked(fourier.ablated, frequencies)

    def alone(self, frequencies: Sequence[int]) -> torch.Tensor:
        """Logits of all pairs with the mean and these frequencies of the embedding alone."""
        return self._asked(fourier.kept, frequencies)

    def _asked(self, change: Any, frequencies: Sequence[int]) -> torch.Tensor:
        import torch

        p = self._task.modular.modulus
        with torch.no_grad():
            self._parameter.copy_(self._whole)
            if frequencies:
                self._parameter[:p] = change(self._whole[:p], list(frequencies))
        return self._task.logits(self._network)
