"""A table network whose unit 0 carries a predicate that is used, unit 1 one that is not, and rows beside them."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from xai_audit.mechanistic.network import Network

D = 24


def network(seed=0, used=2.5) -> Network:
    """``inner`` rotates but for its first two units, which are inputs x0 and x1; the logit reads x0 and a little of the rest."""
    rng = np.random.default_rng([seed, 1])
    mix = np.zeros((D, D))
    mix[0, 0] = mix[1, 1] = 1.0
    mix[2:, 2:], _ = np.linalg.qr(rng.normal(size=(D - 2, D - 2)))
    read = rng.normal(size=D) * 0.15
    read[0], read[1] = used, 0.0
    module = nn.Sequential(OrderedDict(inner=nn.Linear(D, D), bend=nn.Tanh(), out=nn.Linear(D, 1)))
    with torch.no_grad():
        module.inner.weight.copy_(torch.from_numpy(mix))
        module.inner.bias.zero_()
        module.out.weight.copy_(torch.from_numpy(read)[None])
        module.out.bias.zero_()
    return Network(module, deep.TableReader(tuple(f"x{j}" for j in range(D))), link="sigmoid")


def subject(net=None, rows=400, seed=0):
    """``used`` and ``unused`` move x0 and x1; ``nothing`` moves no input."""
    rng = np.random.default_rng([seed, 2])
    side = pd.DataFrame({name: rng.choice(["yes", "no"], rows) for name in ("used", "unused", "nothing")})
    values = rng.normal(size=(rows, D)) * 0.6
    values[:, 0] += 1.2 * (side["used"] == "yes") - 0.6
    values[:, 1] += 1.2 * (side["unused"] == "yes") - 0.6
    frame = pd.DataFrame(values.astype(np.float32), columns=[f"x{j}" for j in range(D)])
    target = (rng.random(rows) < 1 / (1 + np.exp(-2 * values[:, 0]))).astype(np.int64)
    sets = {
        "high": deep.rows(frame[side["used"] == "yes"][:100], name="high"),
        "low": deep.rows(frame[side["used"] == "no"][:100], name="low"),
    }
    return deep.subject(net or network(seed), deep.rows(frame, target, side, "test"), "table", sets=sets)


PREDICATES = [{"name": name, "where": f"{name} == 'yes'"} for name in ("used", "unused", "nothing")]
