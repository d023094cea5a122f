from __future__ import annotations

from tests.render import audits
from xai_audit.evidence import Groups, Item, Ranking, Summary, exactly
from xai_audit.render import claims
from xai_audit.render.ink import Threshold


def groups(low: float, high: float) -> Groups:
    return Groups(
        by=("sex",),
        groups=(),
        summary=Summary(difference=audits.between(0.2, low, high, 90), between=("2", "1"), pairs=1),
    )


def test_larger_than_chance_is_said_only_where_the_interval_leaves_out_zero():
    assert (
        claims.gap("Recall", groups(0.01, 0.4))
        == "Recall is lower for sex 2 than for sex 1; the difference is larger than chance"
    )
    assert (
        claims.gap("Recall", groups(0.0, 0.4))
        == "Recall is lowest for sex 2, highest for sex 1; chance alone could make that difference"
    )


def test_nothing_is_said_where_nothing_was_compared():
    assert claims.gap("Recall", Groups(by=("sex",), groups=())) == ""


def test_leaders_are_named_and_ties_are_not_ordered():
    def ranking(*ranks: tuple[int, int]) -> Ranking:
        return Ranking(
            items=tuple(
                Item(name=f"x{i}", estimate=exactly(1, 1), rank_low=a, rank_high=b)
                for i, (a, b) in enumerate(ranks)
            )
        )

    assert claims.leaders(ranking((1, 1), (2, 2))) == "x0 leads"
    assert claims.leaders(ranking((1, 2), (1, 2), (3, 3))) == "x0 and x1 lead; their order is not settled"
    assert claims.leaders(ranking((1, 2), (1, 2))) == "x0 and x1 lead; their order is not settled"
    assert claims.leaders(ranking(*[(1, 5)] * 5)) == "No input stands out: any of them may come first"
    assert claims.leaders(ranking()) == "No input was ranked"
    assert claims.leaders(ranking((1, 1), (2, 2)), "word") == "“x0” leads"
    assert claims.leaders(ranking(*[(1, 5)] * 5), "part") == "No part stands out: any of them may come first"


def test_groups_below_a_declared_level_are_named():
    threshold = Threshold(0.75, "0.75", "at_least", "declared by the provider")
    low, across = audits.between(0.5, 0.4, 0.6, 9), audits.between(0.7, 0.6, 0.8, 9)
    assert (
        claims.against("Recall", [("All rows", low), ("sex 2", low), ("sex 1", across)], threshold)
        == "Recall lies below the declared 0.75 overall and for sex 2"
    )
    assert (
        claims.against("Recall", [("All rows", across)], threshold)
        == "Recall: no interval lies wholly below the declared 0.75"
    )


def test_no_sentence_gives_a_cause():
    for text in (claims.gap("Recall", groups(0.1, 0.3)), claims.leaders(Ranking(items=()))):
        assert not any(word in text for word in ("because", "causes", "due to", "drives", "leads to"))


def test_explainers_have_the_names_that_people_use():
    assert claims.explainer("shap") == "SHAP"
    assert claims.explainer("integrated_gradients") == "Integrated gradients"
    assert claims.explainer("shap_margin") == "Shap margin"
    assert claims.explainer("") == ""
