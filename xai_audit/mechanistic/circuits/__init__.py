"""Which parts of a network carry one behaviour: a graph of nodes or edges, scored, ablated and judged by its own runs.

A behaviour is a set of inputs, what its ablated parts carry instead, and one number a row (`task.Task`). Parts are the
nodes of any module (`nodes`), the edges of an additive residual (`residual`) or of a plain stack of layers (`units`),
and the latents of dictionaries (`features`). They are scored by gradients (`attribution`), by exact patching
(`patching`) or pruned one by one (`acdc`); `faithfulness` says what a circuit keeps of the behaviour.
"""
