"""Write docs/reference/ from the tables that the program itself reads; with --check, say whether it is up to date."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from xai_audit import catalog, statements
from xai_audit.cli import COMMANDS, cli
from xai_audit.method import Method
from xai_audit.policy import Policy, Rule
from xai_audit.reading import find_policy, policy_schema, read_policy, shipped, spec_schema

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by scripts/generate_docs.py; change what it reads, then run it again. -->"
NEEDS = {
    "model": "a model",
    "labels": "labels",
    "scores": "scores",
    "probabilities": "probabilities",
    "groups": "sensitive columns",
    "binary": "two classes",
    "classification": "classification",
    "regression": "regression",
    "train": "training data",
    "features": "features",
    "table": "a table",
    "images or text": "pictures or texts",
    "network": "a torch module that can be looked into",
    "checkpoints": "checkpoints of the model",
}
BETTER = {
    "higher": "higher",
    "lower": "lower",
    "zero": "closer to 0",
    "one": "closer to 1",
    "none": "neither by itself",
}
BASIS = {
    "law": "the text of the Act asks for it",
    "derived": "the Act asks for the thing, the policy picks the check",
    "guidance": "published guidance",
    "convention": "a custom, not law",
    "provider": "the provider's own number",
}


def sentence(text: str) -> str:
    """Text with a capital at its start and a full stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def cell(text: object) -> str:
    """Text that stays within one cell of a table."""
    return " ".join(str(text).replace("|", "\\|").replace("``", "`").split())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A Markdown table; nothing where there are no rows."""
    listed = [[cell(item) for item in row] for row in rows]
    if not listed:
        return
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in listed:
        yield f"| {' | '.join(row)} |"
    yield ""


# ------------------------------------------------------------------------------------------------------ methods
def of_kind(kind: str, *, selectable: bool = True) -> list[Method[Any]]:
    """Methods of that kind in the order of the catalog."""
    return [m for m in catalog.methods().values() if m.kind == kind and m.selectable is selectable]


def parameters(kind: str) -> Mapping[str, Any]:
    """The schema of each method's parameters, by the method's name."""
    found: Mapping[str, Any] = plain(spec_schema()["properties"][f"{kind}s"])["items"]["anyOf"][-1][
        "properties"
    ]
    return found


def told(method: Method[Any], params: Mapping[str, Any] | None) -> Iterator[str]:
    """The section of one method."""
    yield f"### {method.id}"
    yield ""
    yield f"{sentence(method.title)} {sentence(method.measures)}"
    yield ""
    if method.kind == "metric" and method.better != "none":
        yield f"- Better: {BETTER[method.better]}."
    if method.needs:
        yield f"- Needs: {', '.join(NEEDS[need] for need in method.needs)}. Where one is absent it is skipped and says so."
    if method.parts:
        yield f"- Parts: {', '.join(f'`{method.id}/{part}`' for part in method.parts)}."
    yield from (f"- Limit: {sentence(limit)}" for limit in method.limits)
    if method.cites:
        yield f"- Sources: {'; '.join(method.cites)}."
    yield ""
    rows = [
        (f"`{name}`", takes(inner), default(inner), inner.get("description", ""))
        for name, inner in (params or {}).items()
        if name != "primary"
    ]
    yield from table(("Parameter", "Takes", "Default", "What it does"), rows)


def metrics() -> Iterator[str]:
    """docs/reference/metrics.md."""
    yield from ("# Metrics", "", NOTE, "")
    yield (
        "A spec names metrics under `metrics`. Each is measured overall, by every sensitive column and by their crossings, "
        "with an interval; comparisons of groups carry intervals that hold for all pairs at once. "
        "`{name: {primary: true}}` marks the primary one, else the first is."
    )
    yield ""
    chosen = of_kind("metric")
    yield from table(
        ("Metric", "What it measures", "Better"),
        ((f"[`{m.id}`](#{m.id})", sentence(m.measures), BETTER[m.better]) for m in chosen),
    )
    yield from ("## Each metric", "")
    params = parameters("metric")
    for method in chosen:
        yield from told(method, plain(params[method.id]).get("properties"))
    yield from ("## Checks that every audit makes", "", "A spec does not name them; rules read them.", "")
    for method in of_kind("metric", selectable=False):
        yield from told(method, None)


def explainers() -> Iterator[str]:
    """docs/reference/explainers.md."""
    yield from ("# Explainers", "", NOTE, "")
    yield (
        "A spec names explainers under `explainers`. They explain the model in the table's own columns: a category is "
        "one input, however it is encoded inside. A second use of one takes another name: "
        "`{shap: {output: margin}, as: shap_margin}`."
    )
    yield ""
    params = parameters("explainer")
    for method in of_kind("explainer"):
        yield from told(method, plain(params[method.id]).get("properties"))


# ------------------------------------------------------------------------------------------------------ policies
def asks(rule: Rule) -> str:
    """What a rule asks, in words."""
    if rule.attested is not None:
        keys = (rule.attested,) if isinstance(rule.attested, str) else rule.attested
        return f"stated: {', '.join(f'`{key}`' for key in keys)}"
    parts = []
    for one in (rule, *rule.also):
        bounds = {"at_least": "at least", "at_most": "at most", "equals": "exactly"}
        given = [(word, getattr(one, key)) for key, word in bounds.items() if getattr(one, key) is not None]
        text = ", ".join(f"{word} {threshold(value)}" for word, value in given) or "is measured"
        parts.append(f"`{one.evidence}` {text}")
    return "; ".join(parts)


def threshold(value: float | str) -> str:
    """A threshold as the policy writes it."""
    return (
        "the declared level"
        if value == "declared"
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def effect(rule: Rule) -> str:
    """What a fail and an open finding do."""
    if rule.level != "error":
        return "warns" if rule.level == "warning" else "notes"
    blocks = "blocks at release" if rule.release else "blocks"
    return f"{blocks}; open {'warns' if rule.opened == 'warn' else 'asks for review'}"


def of_policy(policy: Policy) -> Iterator[str]:
    """The section of one policy."""
    yield from (
        f"## {policy.id}",
        "",
        f"{sentence(policy.title or policy.id)} Version {policy.version}, checked on {policy.as_of}.",
        "",
    )
    yield f"- Confidence of a pass: {policy.confidence:g}, rule by rule. Chance of any false fail: {policy.family_error:g}."
    yield f"- Groups of fewer than {policy.min_n} rows, or {policy.min_label} of a label, decide nothing."
    yield ""
    yield from table(
        ("Rule", "In plain words", "Provision", "Basis", "Asks", "What it does"),
        ((rule.id, rule.title, rule.clause, rule.basis, asks(rule), effect(rule)) for rule in policy.rules),
    )
    for rule in policy.rules:
        since = f" Applies from {rule.applies_from}." if rule.applies_from else ""
        lines = [text for text in (rule.why, rule.tip, rule.note) if text]
        if lines:
            yield f"- **{rule.id}** {' '.join(sentence(' '.join(line.split())) for line in lines)}{since}"
    yield ""


def policies() -> Iterator[str]:
    """docs/reference/policies.md."""
    yield from ("# Policies", "", NOTE, "")
    yield (
        "A policy is a list of rules fixed before the run. A spec names shipped ones, or paths of one's own, "
        "under `policies`. What meeting one means is said in [the format](../format.md); it is not a finding of conformity."
    )
    yield ""
    yield from table(("Basis", "Where a rule's number comes from"), BASIS.items())
    for name in shipped():
        path = find_policy(name, Path())
        assert isinstance(path, Path)
        yield from of_policy(read_policy(path)[0])
    yield from ("## Keys of a policy", "")
    yield from table(("Key", "Takes", "Default", "What it does"), walk(policy_schema(), ""))


# ------------------------------------------------------------------------------------------------------ the spec
def plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema less the null that stands for a key left empty."""
    parts = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if len(parts) == 1:
        return {**parts[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    return {**schema, **({"anyOf": parts} if parts else {})}


TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "keys",
    "array": "a list",
}
FEW = 12
"""So many choices are written out; a longer list stands in a page of its own."""


def takes(schema: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    one = plain(schema)
    if "items" in one:
        inner = {"a number": "numbers", "keys": "entries"}.get(found := takes(one["items"]), found)
        return f"a list of {inner}" if len(inner) < 60 else "a list"
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(takes(part) for part in one["anyOf"]))
    choices = one.get("enum", [one["const"]] if "const" in one else [])
    if choices:
        return "a name" if len(choices) > FEW else " or ".join(f"`{choice}`" for choice in choices)
    if one.get("pattern", "").startswith("^[0-9a-f]{64}"):
        return "64 hexadecimal digits"
    kind = one.get("type", "anything")
    return (
        "a date"
        if one.get("format") == "date"
        else "text"
        if isinstance(kind, list)
        else TYPES.get(kind, kind)
    )


def default(schema: Mapping[str, Any]) -> str:
    """The default of a key, as YAML writes it; nothing where there is none."""
    one = plain(schema)
    if one.get("default") in (None, ""):
        return ""
    return f"`{json.dumps(one['default'], ensure_ascii=False)}`"


def walk(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    """Every key of a schema with what it takes, depth first."""
    for name, given in plain(schema).get("properties", {}).items():
        inner = plain(given)
        key = f"{path}{name}"
        yield f"`{key}`", takes(inner), default(inner), inner.get("description", "")
        if key in {"explainers", "metrics", "policies", "system.statements"}:
            continue
        yield from walk(inner, f"{key}.")
        items = plain(inner.get("items", {}))
        for part in (items, *items.get("anyOf", ())):
            yield from walk(part, f"{key}[].")


def spec() -> Iterator[str]:
    """docs/reference/spec.md."""
    yield from ("# The spec", "", NOTE, "")
    yield (
        "One YAML file asks for one audit. Paths are relative to it. An unknown key is a mistake, and `xai-audit check` "
        "tells every mistake at once. `xai-audit schema spec` prints the JSON Schema that editors complete by. "
        "`[]` stands for each entry of a list."
    )
    yield ""
    yield from table(("Key", "Takes", "Default", "What it says"), walk(spec_schema(), ""))
    yield from ("## Statements", "")
    yield (
        "What only people can say stands under `system.statements`, by these keys. A statement is `{text, author, date}` or "
        "plain text, which counts as the first signatory's; where nobody is named, it prints and satisfies no rule. "
        "`system.intended_purpose` stands above them."
    )
    yield ""
    rows = (
        (
            f"`{one.key}`",
            sentence(one.asks),
            one.clause,
            one.who,
            ", ".join(f"`{letter}`" for letter in one.letters),
        )
        for one in statements.ASKED
    )
    yield from table(("Key", "Asks", "Provision", "Who can say it", "Sub-keys"), rows)


# ------------------------------------------------------------------------------------------------------ commands
def commands() -> Iterator[str]:
    """docs/reference/commands.md."""
    yield from ("# Commands", "", NOTE, "")
    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    for name in ("", *COMMANDS):
        shown = runner.invoke(
            cli, [*filter(None, [name]), "--help"], prog_name="xai-audit", terminal_width=100
        )
        assert shown.exit_code == 0, shown.output
        yield from (f"## xai-audit {name}".rstrip(), "", "```text", shown.output.rstrip(), "```", "")


PAGES = {
    "metrics.md": metrics,
    "explainers.md": explainers,
    "policies.md": policies,
    "spec.md": spec,
    "commands.md": commands,
}


def main(arguments: Sequence[str]) -> int:
    """0 where the pages are written, or with --check up to date; 1 where a page is stale."""
    stale = []
    for name, page in PAGES.items():
        text = "\n".join(page()).rstrip() + "\n"
        path = REFERENCE / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            REFERENCE.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(
            f"docs/reference/{name}: {'stale; run scripts/generate_docs.py' if '--check' in arguments else 'written'}"
        )
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
