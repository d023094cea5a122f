"""Model cards in the shapes that people and tools leave them in, as bytes."""

from __future__ import annotations

TRAINER = """---
library_name: transformers
license: apache-2.0
base_model: distilbert/distilbert-base-uncased
tags:
- generated_from_trainer
metrics:
- accuracy
- f1
model-index:
- name: support-tickets
  results:
  - task:
      name: Text Classification
      type: text-classification
    dataset:
      name: tickets
      type: acme/tickets
      config: default
      split: validation
    metrics:
    - name: Accuracy
      type: accuracy
      value: 0.91
    - name: F1
      type: f1
      value: 0.8973
  - task:
      name: Text Classification
      type: text-classification
    dataset:
      name: tickets
      type: acme/tickets
      config: default
      split: test
    metrics:
    - name: Accuracy
      type: accuracy
      value: 0.884
      verified: true
      verifyToken: eyJhbGciOiJFZERTQSJ9.e30.x
    source:
      name: Open leaderboard
      url: https://example.org/leaderboard
---

<!-- This card was written by a trainer. Fill in what is missing, then delete this comment. -->

# support-tickets

A classifier of support tickets.

### Training hyperparameters

The following values were used:
- learning_rate: 5e-05
- seed: 42

### Training results

| Training Loss | Epoch | Step | Validation Loss | Accuracy |
|:-------------:|:-----:|:----:|:---------------:|:--------:|
| 0.41          | 1.0   | 500  | 0.32            | 0.89     |
"""

COMMENTED = """---
# Who: the risk team. Ask before you change anything here.
language:
  - en        # ISO 639-1
  - 'de'
license: "other"   # see LICENSE.md
license_name:   acme-internal

# widget examples
widget:
    - text: "I forgot my password"
      example_title: Password   # the usual case


# end of metadata
---
Body.
"""

ANCHORS = """---
defaults: &defaults
  type: tabular-classification
  name: Tabular classification
extra:
  <<: *defaults
  owner: &who "team a"
contact: *who
description: |+
  Two lines,
    one of them indented.

summary: >-
  folded
  text
model-index:
  - name: scorer
    results:
      - task: *defaults
        dataset: {type: acme/loans, name: Loans, args: {seed: 1}}
        metrics: [{type: accuracy, value: 0.8}]   # by hand
# trailing comment
notes: |
  last: not a key
  # not a comment
---
# scorer
"""

OTHERS = """---
tags: [sklearn, skops, tabular-classification]
model_format: skops
---
# Model description

<!-- begin: metrics (do not edit) -->
| a | b |
|---|---|
| 1 | 2 |
<!-- end: metrics -->

<!-- glassbox:start digest=00 -->
Someone else's block.
<!-- glassbox:end -->
<!-- xai-audit is mentioned in this comment, which is no mark -->

Text that names xai-audit:begin in passing.
"""

TABLES = """---
license: cc-by-4.0
thumbnail: https://example.org/x.png
---
<p align="center">
  <img src="logo.png" alt="logo"/>
</p>

<table><tr><td>a</td><td>b | c</td></tr></table>

---

Setext heading
---

| left | right |
|:-----|------:|
| `a|b` | **1** |

<details><summary>More</summary>

```yaml
---
model-index:
- name: not metadata
---
```

</details>"""

CARDS: dict[str, bytes] = {
    "no metadata": b"# A model\n\nIt has no metadata at all.\n",
    "existing model-index": TRAINER.encode(),
    "comments in YAML": COMMENTED.encode(),
    "anchors, aliases, block scalars": ANCHORS.encode(),
    "other tools' marks": OTHERS.encode(),
    "tables and HTML, no final line end": TABLES.encode(),
    "CRLF": TRAINER.replace("\n", "\r\n").encode(),
    "not ASCII, with a byte order mark": (
        "\ufeff---\nlanguage: pl\nauthor: Łucja Żółć\npretty_name: 'Модель «ß» 模型 🧪'\n---\n# Modèle 模型\n\nΚείμενο  \n\n"
    ).encode(),
    "huge": (COMMENTED + "".join(f"| row {row} | {row * 7919 % 1000} |\n" for row in range(60_000))).encode(),
    "empty": b"",
    "only metadata": b"---\nlicense: mit\npipeline_tag: tabular-classification\n---",
    "in brackets": (
        b"---\nlicense: mit\nmodel-index: [{name: m, results: [{task: {type: t}, dataset: {type: d, name: n}, "
        b"metrics: [{type: accuracy, value: 1.0e-05}]},\n  # said last\n  ]}]\n---\n\n\nBody with blanks   \n\n\n"
    ),
    "empty metadata": b"---\n---\nBody.\n",
    "an index without results": b"---\nmodel-index:\n- name: mine\n  results: []\nlicense: mit\n---\nBody.\n",
    "an index without anything": b"---\nmodel-index:\nlicense: mit\n---\nBody.\n",
    "deep indentation, mixed ends": (
        b"---\r\nmodel-index:\r\n    -   name: m\n        results:\n            -   task:\n                    type: t\n"
        b"                dataset:\n                    type: d\n                    name: n\n                metrics:\n"
        b"                    -   type: accuracy\n                        value: 1\r\nlicense: mit\n---  \nBody\r\n"
    ),
}  # fmt: skip
