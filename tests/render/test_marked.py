from __future__ import annotations

from tests.render import specimens
from xai_audit.render import marked


def tokens(*found: tuple[str, float | None, float | None, float | None]) -> list[dict[str, object]]:
    return [{"text": t, "phi": phi, "low": low, "high": high} for t, phi, low, high in found]


def test_marks_say_the_way_and_how_much_beside_the_largest():
    made = marked.marked(
        tokens(
            ("great", 0.4, None, None), (" ", None, None, None), ("dull", -0.2, -0.3, -0.1),
            ("so", 0.03, None, None), ("perhaps", 0.3, -0.1, 0.7),
        )
    )  # fmt: skip
    assert [(t.way, t.level) for t in made] == [("for", 4), ("", 0), ("against", 3), ("", 0), ("", 0)]


def test_the_whole_text_is_there_in_its_order():
    text = "never quite dull"
    made = marked.marked(specimens.text_case(text)["tokens"])
    assert "".join(token.text for token in made) == text


def test_a_text_of_nothing_has_no_marks():
    assert marked.marked([]) == []
    assert marked.most(tokens((" ", None, None, None))) == 0
    assert marked.leading([], ("against x", "for x")) == "No word's contribution is surely on one side of 0."
    assert marked.listed([], "c").rows == ()


def test_hidden_characters_show_and_endless_words_end():
    made = marked.marked(
        tokens(
            ("a\u200bb\u202e", 1.0, None, None),
            ("line\nbreak", None, None, None),
            ("x" * 999, 0.1, None, None),
        )
    )
    assert made[0].text == r"a\u200bb\u202e"
    assert made[1].text == "line\nbreak"
    assert made[2].text.endswith("… (999 characters)")


def test_long_texts_fold_and_say_how_many_words():
    case = specimens.text_case(" ".join(f"w{k}" for k in range(marked.LONGEST + 50)))
    fold, stop, words = marked.parted(case["tokens"])
    assert words == marked.LONGEST + 50
    assert sum(marked.phi(t) is not None for t in case["tokens"][:fold]) == marked.AT_ONCE
    assert sum(marked.phi(t) is not None for t in case["tokens"][:stop]) == marked.LONGEST


def test_the_sentence_names_the_words_with_their_numbers():
    found = tokens(("great", 0.4, 0.3, 0.5), ("not", -0.2, -0.25, -0.15), ("maybe", 0.9, -0.1, 1.9))
    said = marked.leading(found, ("against kind", "for kind")).replace("\u00a0", " ")
    assert said == "Most for kind: “great” +0.40 [0.30, 0.50]. Most against kind: “not” −0.20 [−0.25, −0.15]."


def test_the_table_holds_the_largest_of_the_whole_text_and_says_what_is_left():
    table = marked.listed(specimens.text_case(specimens.LONG)["tokens"], "c")
    sizes = [abs(float(row.cells[2].sort)) for row in table.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == marked.LISTED
    assert "390" in table.notes[0]


def test_a_word_that_would_print_as_0_is_not_named():
    found = [{"text": "good", "phi": 0.42}, {"text": "is", "phi": -0.00001}]
    assert marked.leading(found, ("against kind", "for kind")) == "Most for kind: “good”\u00a0+0.42."


def test_limits_that_are_no_numbers_are_none() -> None:
    token = {"text": "a", "phi": 0.5, "low": "0.1", "high": [1]}
    assert marked.sure(token)
    assert [one.way for one in marked.marked([token])] == ["for"]
