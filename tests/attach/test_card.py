"""A card keeps every byte that is not ours, and huggingface_hub reads what was added."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.attach.cards import CARDS, TRAINER
from tests.render import audits
from xai_audit.attach import binding, block, card, entries
from xai_audit.attach.binding import Binding
from xai_audit.audit import Audit
from xai_audit.errors import UnavailableError

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"

WHOLE, BOUND = binding.read(GOLDEN)
# A few numbers of it are enough for the shapes of cards, and PyYAML is slow.
SOME = ("recall", "recall/gender", "recall/region", "accuracy", "demographic_parity_ratio/gender", "roc_auc")
MADE = WHOLE.model_copy(update={"evidence": tuple(one for one in WHOLE.evidence if one.id in SOME)})
NEWER = MADE.model_copy(update={"outcome": "fail", "reasons": ("another run",)})
NEWER_BOUND = replace(BOUND, audit_sha256="1" * 64, outcome="fail", finished="2027-01-05T08:00:00+00:00")


@pytest.fixture(autouse=True)
def quiet():
    # The hub's library warns of cards without metadata; some here have none on purpose.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    yield
    logging.getLogger("huggingface_hub").setLevel(logging.NOTSET)


def attached(text: str, made: Audit = MADE, bound: Binding = BOUND) -> str:
    return card.attached(text, made, bound)


def hub(text: str) -> ModelCard:
    """As huggingface_hub reads a file: without a byte order mark, line ends as they are."""
    return ModelCard(text.removeprefix("\ufeff"))


def results(text: str) -> list[Any]:
    return list(hub(text).data.eval_results or [])


def mine(result: Any) -> bool:
    return bool(result.dataset_args) and entries.MARK in result.dataset_args


def one_insertion(old: str, new: str) -> bool:
    """Whether new is old with text put in at one place."""
    first = next(
        (place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    last = next(
        (place for place, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b),
        min(len(old), len(new)),
    )
    return len(new) >= len(old) and first + last >= len(old)


def without_block(new: str) -> tuple[str, str, str]:
    """What stands before, in and after our block, found by its two comments alone."""
    start = new.index("<!-- xai-audit:begin ")
    end = new.index("<!-- xai-audit:end -->") + len("<!-- xai-audit:end -->")
    assert new.count("<!-- xai-audit:begin ") == new.count("<!-- xai-audit:end -->") == 1
    return new[:start], new[start:end], new[end:]


def assert_foreign_kept(old: str, new: str) -> None:
    """Nothing of an unattached card is lost: two insertions, one of them the block with line ends around it."""
    before, _, after = without_block(new)
    assert after in {"\n", "\r\n", "\r"}
    kept = [before.removesuffix(gap) for gap in ("", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r")]
    assert any(one_insertion(old, one) for one in kept)


def expected() -> int:
    return sum(len(result["metrics"]) for result in entries.results(MADE, BOUND.audit_sha256))


# ---------------------------------------------------------------------------------------------- real shapes
@pytest.mark.parametrize("name", CARDS)
def test_attached_twice_changes_nothing_foreign(name: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(CARDS[name])
    assert card.write(path, MADE, BOUND)
    once = path.read_bytes()
    assert not card.write(path, MADE, BOUND)
    assert path.read_bytes() == once
    assert card.check(path, MADE, BOUND) == []

    old, new = CARDS[name].decode(), once.decode()
    assert_foreign_kept(old, new)
    before = results(old)
    found = results(new)
    theirs = [one for one in found if not mine(one)]
    assert theirs == before
    assert [(one.verified, one.verify_token) for one in theirs] == [
        (one.verified, one.verify_token) for one in before
    ]
    assert len(found) == len(before) + expected() > 8
    kept = {key: value for key, value in hub(new).data.to_dict().items() if key != "model-index"}
    assert kept == {key: value for key, value in hub(old).data.to_dict().items() if key != "model-index"}


@pytest.mark.parametrize("name", CARDS)
def test_a_newer_audit_takes_the_place_of_the_older_one_alone(name: str) -> None:
    old = CARDS[name].decode()
    # From another audit and back again: what ours leave behind is what came first, byte for byte.
    first = attached(old)
    second = attached(first, NEWER, NEWER_BOUND)
    assert BOUND.audit_sha256 not in second
    assert_foreign_kept(old, second)
    assert len(results(second)) == len(results(first))
    assert attached(second) == first
    told = card.differences(second, MADE, BOUND)
    assert any("stale" in line and "the folder holds" in line for line in told)
    assert any("model-index is stale" in line for line in told)


@pytest.mark.parametrize("name", CARDS)
def test_line_ends_are_the_cards_own(name: str) -> None:
    old, new = CARDS[name].decode(), attached(CARDS[name].decode())
    first = re.search(r"\r\n|\n|\r", old)
    end = first.group() if first else "\n"
    ours = without_block(new)[1]
    assert set(re.findall(r"\r\n|\n|\r", ours)) == {end}


def test_a_whole_audit_in_a_card() -> None:
    new = attached(TRAINER, WHOLE)
    assert attached(new, WHOLE) == new
    assert len(results(new)) == 3 + 54
    assert card.differences(new, WHOLE, BOUND) == []


def test_slices_stay_apart_when_the_hub_writes_them_again() -> None:
    data = hub(attached(TRAINER)).data
    again = ModelCard(f"---\n{data.to_yaml()}\n---\n").data
    assert len(again.eval_results) == len(data.eval_results)
    by_slice = {
        (one.dataset_config, one.metric_type): one.metric_value for one in again.eval_results if mine(one)
    }
    assert by_slice == {
        (one.dataset_config, one.metric_type): one.metric_value for one in data.eval_results if mine(one)
    }
    assert len(by_slice) == expected()
    assert {"overall", "gender=woman", "by gender"} <= {config for config, _ in by_slice}


def test_numbers_come_with_interval_and_n_as_audit_json_has_them() -> None:
    found = {(one.dataset_config, one.metric_type): one for one in results(attached("")) if mine(one)}
    for piece, config in (("recall", "overall"), ("roc_auc", "overall")):
        estimate = MADE.get(piece).observation.estimate
        one = found[config, piece]
        assert one.metric_value == estimate.value
        assert one.metric_args == {
            "ci_low": estimate.low, "ci_high": estimate.high, "n": estimate.n, "confidence": 0.95, "evidence": piece,
        }  # fmt: skip
    groups = {group.key["gender"]: group for group in MADE.get("recall/gender").observation.groups}
    assert found["gender=woman", "recall"].metric_value == groups["woman"].estimate.value
    ratio = MADE.get("demographic_parity_ratio/gender").observation.summary.ratio
    assert found["by gender", "demographic_parity_ratio"].metric_value == ratio.value
    assert {one.task_type for one in found.values()} == {"tabular-classification"}
    assert {one.dataset_revision for one in found.values()} == {BOUND.data_sha256}


def test_no_group_that_is_not_measured_is_told() -> None:
    new = attached("# x\n")
    hidden = {
        f"{column}={label}"
        for piece in MADE.evidence
        if piece.observation is not None and piece.observation.shape == "groups"
        for group in piece.observation.groups
        for column, label in group.key.items()
        if group.status == "suppressed" and len(group.key) == 1
    }
    assert {"region=island", "region=missing"} <= hidden
    assert not {one.dataset_config for one in results(new)} & hidden
    assert "island" not in new


# ---------------------------------------------------------------------------------------------- the block
def test_the_block_binds_to_model_and_audit() -> None:
    text = without_block(attached("# x\n"))[1]
    for said in (BOUND.model_sha256, BOUND.audit_sha256, BOUND.data_sha256, BOUND.policy_sha256[0]):
        assert f"`{said}`" in text
    assert "**Outcome: review.**" in text
    assert "eu-ai-act 1" in text
    assert "23 November 2026" in text
    assert "What this does not say:" in text
    assert "Robustness to noise, shift and attack" in text
    assert not re.search(r"(?i)\bcompliant\b|\bcertified\b|\bsafe\b", text)


@pytest.mark.parametrize("name", audits.AUDITS if hasattr(audits, "AUDITS") else ["hostile"])
def test_every_audit_of_the_report_can_be_attached(name: str) -> None:
    made = getattr(audits, name)()
    bound = binding.binding(made, "ab" * 32)
    new = attached(TRAINER, made, bound)
    assert attached(new, made, bound) == new
    assert card.differences(new, made, bound) == []
    assert_foreign_kept(TRAINER, new)
    before, text, _ = without_block(new)
    assert len(results(new)) == 3 + sum(
        len(one["metrics"]) for one in entries.results(made, bound.audit_sha256)
    )
    # What people typed opens no tag, no link and no row of a table.
    assert not re.search(r"(?<!\\)<(?!!-- )", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "\u202e" not in before + text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert widths <= {3, 5}


def test_slices_with_long_names_never_share_one() -> None:
    made = audits.reviewed()
    piece = next(one for one in made.evidence if one.id.startswith("recall/") and "+" not in one.id)
    seen = piece.observation
    column = seen.by[0]
    long = [
        group.model_copy(update={"key": {column: "x" * 500 + str(place)}})
        for place, group in enumerate(seen.groups)
    ]
    changed = piece.model_copy(update={"observation": seen.model_copy(update={"groups": tuple(long)})})
    made = made.model_copy(update={"evidence": (changed,)})
    configs = [one["dataset"]["config"] for one in entries.results(made, "0" * 64)]
    assert len(configs) == len(set(configs)) >= 2
    assert max(map(len, configs)) < 120


def test_an_audit_of_predictions_says_that_no_file_is_known() -> None:
    made = audits.unmodelled()
    bound = binding.binding(made, "cd" * 32)
    assert bound.model_sha256 is None
    new = attached("", made, bound)
    assert "no digest is known" in new
    assert "model=unknown" in new
    assert card.differences(new, made, bound) == []


# ---------------------------------------------------------------------------------------------- what does not hold
def test_another_models_card_is_told() -> None:
    other = replace(BOUND, model_sha256="e" * 64)
    told = card.differences(attached("# x\n"), MADE, other)
    assert told[0] == f"the card is of the model {BOUND.model_sha256}, the audit of {'e' * 64}"


def test_a_card_without_a_block_is_told() -> None:
    assert card.differences("# x\n", MADE, BOUND) == [
        "no block of xai-audit is in this card; xai-audit attach writes it"
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("**Outcome: review.**", "**Outcome: pass.**", ["the block was edited after it was attached"]),
        ("0.81 \\[0.77", "0.91 \\[0.77", ["the block was edited after it was attached"]),
        ("value: 0.815\n", "value: 0.915\n", ["model-index was edited: its result for 'overall' is not the audit's"]),
        ("ci_low: 0.8109056870320027", "ci_low: 0.85", ["model-index was edited: its result for 'overall' is not the audit's"]),
        ("config: gender=woman", "config: gender=man2", [
            "model-index has no result for 'gender=woman'", "model-index was edited: the audit has no result for 'gender=man2'",
        ]),
        (f"`{BOUND.model_sha256}`", f"`{'e' * 64}`", ["the block was edited after it was attached"]),
    ],
)  # fmt: skip
def test_an_edit_is_told(old: str, new: str, told: list[str]) -> None:
    text = attached(TRAINER)
    assert text.count(old) == 1
    changed = text.replace(old, new)
    assert card.differences(changed, MADE, BOUND) == told
    # Attaching again mends it, and leaves the rest.
    assert attached(changed) == text


def test_a_block_whose_mark_was_made_to_fit_is_told() -> None:
    text = attached("# x\n")
    found = block.find(text[text.index("# x") :])
    forged = found.text.replace("Outcome: review", "Outcome: pass")
    lines = forged.split("\n")
    lines[0] = lines[0].replace(found.said["text"], block._digest(lines[1:-1]))
    changed = text.replace(found.text, "\n".join(lines))
    assert card.differences(changed, MADE, BOUND) == [
        "the block is not the one this version of xai-audit writes; attach it again"
    ]


def test_an_entry_that_was_lost_is_told() -> None:
    text = attached("# x\n")
    assert "model-index has no result for 'overall'" in card.differences(
        text[text.index("# x") :], MADE, BOUND
    )


# ---------------------------------------------------------------------------------------------- refused
BLOCK = "<!-- xai-audit:begin text=0 -->\nx\n<!-- xai-audit:end -->\n"


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        (b"---\na: [1\n---\nx\n", ":3:1", "metadata are no YAML that can be read"),
        (b"---\na: 1\n b: 2\n---\n", ":3:3", "metadata are no YAML that can be read"),
        (b"---\nlicense: mit\nlicense: apache\n---\n", ":3:1", "the key 'license' is given twice"),
        (b"---\njust words\n---\n", ":2:1", "metadata are keys and values"),
        (b"---\nmodel-index: 3\n---\n", ":2:14", "model-index is a list of models"),
        (b"---\nmodel-index:\n- name: x\n  results: 3\n---\n", ":3:1", "each model of model-index"),
        (b"---\na: !!python/object/apply:os.system [ls]\n---\n", ":2:4", "metadata are no YAML that can be read"),
        (b"---\nlicense: mit\nno end\n", ":1:1", "'---' opens metadata that no later line '---' closes"),
        (b"--- \nlicense: mit\n---\n", ":1:1", "exactly '---'"),
        (b"---\na: \x07\n---\n", ":2:1", "metadata are no YAML that can be read"),
        (b"---\na: &a [*a]\n---\n", ":2:1", "over 200,000 values"),
        (("---\na0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)) + "---\n").encode(), ":2:1", "over 200,000 values"),
        (("---\na: " + "[" * 1500 + "\n---\n").encode(), ":2:1", "metadata are no YAML that can be read"),
        (b"---\nshared: &r\n- task: {type: t}\n  dataset: {type: d, name: n}\n  metrics: [{type: a, value: 1}]\nmodel-index:\n- name: m\n  results: *r\n---\n", ":2:1", "model-index cannot be extended here"),
        ((BLOCK + "\n" + BLOCK).encode(), ":5:1", "a second mark 'xai-audit:begin'"),
        (b"# x\n<!-- xai-audit:begin text=0 -->\nno end\n", ":2:1", "is without an 'xai-audit:end' after it"),
        (b"---\na: 1\n---\n# x\n<!-- xai-audit:end -->\n", ":5:1", "is without an 'xai-audit:begin' before it"),
        (b"<!-- xai-audit:end -->\n<!-- xai-audit:begin text=0 -->\n", ":2:1", "is without an 'xai-audit:end' after it"),
        (b"# x\n\xff\xfe\n", "", "is no text in UTF-8: byte 5"),
        (b"# x\n\0\n", "", "it holds a zero byte"),
        (b"x" * 8_000_001, "", "is 8.0 MB large; at most 8 MB is read"),
    ],
)  # fmt: skip
def test_a_card_that_cannot_be_changed_is_told_in_one_line(
    content: bytes, place: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(content)
    with pytest.raises(UnavailableError) as caught:
        card.write(path, MADE, BOUND)
    said = str(caught.value)
    assert said.startswith(f"{path}{place}: ")
    assert what in said
    assert "\n" not in said
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["README.md"]


def test_links_folders_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real.md").write_text("# x\n")
    (tmp_path / "link.md").symlink_to("real.md")
    for name, what in (("link.md", "is a link"), ("none.md", "no such card"), (".", "is no file")):
        with pytest.raises(UnavailableError, match=what):
            card.write(tmp_path / name, MADE, BOUND)
    assert (tmp_path / "real.md").read_text() == "# x\n"
    assert (tmp_path / "link.md").is_symlink()


def test_the_files_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("# x\n")
    path.chmod(0o600)
    card.write(path, MADE, BOUND)
    assert path.stat().st_mode & 0o777 == 0o600
