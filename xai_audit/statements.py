"""What people must say: the stable statement keys, what each asks, which provision asks, who can supply it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """One statement the technical documentation asks of a person."""

    key: str
    asks: str
    clause: str
    who: str
    points: tuple[str, ...] = ()
    """Annex IV points (``1.b``) it answers."""
    letters: tuple[str, ...] = ()
    """Sub-keys that must all be given, where the statement is a mapping."""


ASKED: tuple[Asked, ...] = (
    Asked(
        "intended_purpose",
        "What the system is for, for whom, and what it is not for",
        "Annex IV(1)(a)",
        "the product owner",
        ("1.a",),
    ),
    Asked(
        "interaction",
        "Which hardware, software and other AI systems it interacts with",
        "Annex IV(1)(b)",
        "the integration lead",
        ("1.b",),
    ),
    Asked(
        "software_versions",
        "Relevant software and firmware versions and how they are updated",
        "Annex IV(1)(c)",
        "the engineering lead",
        ("1.c",),
    ),
    Asked(
        "deployment_forms",
        "Every form in which it is placed on the market or put into service",
        "Annex IV(1)(d)",
        "the product owner",
        ("1.d",),
    ),
    Asked(
        "hardware",
        "The hardware it is intended to run on",
        "Annex IV(1)(e)",
        "the engineering lead",
        ("1.e",),
    ),
    Asked(
        "product_component",
        "Whether it is part of a product, with pictures and markings if so",
        "Annex IV(1)(f)",
        "the product owner",
        ("1.f",),
    ),
    Asked(
        "ui_description",
        "What the user interface shows the deployer",
        "Annex IV(1)(g)",
        "the product owner",
        ("1.g",),
    ),
    Asked(
        "instructions_for_use",
        "The instructions for use given to the deployer",
        "Annex IV(1)(h)",
        "the product owner",
        ("1.h",),
    ),
    Asked(
        "development_methods",
        "How it was developed, with third-party tools and pre-trained parts",
        "Annex IV(2)(a)",
        "the head of data science",
        ("2.a",),
    ),
    Asked(
        "third_party_components",
        "Third-party components and how they were used or changed",
        "Annex IV(2)(a)",
        "the head of data science",
        ("2.a",),
    ),
    Asked(
        "design_rationale",
        "Key design choices with their reasons and assumptions, and what the model optimises for",
        "Annex IV(2)(b)",
        "the head of data science",
        ("2.b",),
    ),
    Asked(
        "trade_offs",
        "Trade-offs decided between requirements",
        "Annex IV(2)(b)",
        "the head of data science",
        ("2.b",),
    ),
    Asked(
        "training_compute",
        "Computing resources used to develop, train and test",
        "Annex IV(2)(c)",
        "the head of data science",
        ("2.c",),
    ),
    Asked(
        "data_sets",
        "Origin, collection, original purpose, labelling and cleaning of the data",
        "Annex IV(2)(d)",
        "the data steward",
        ("2.d",),
    ),
    Asked(
        "data_gaps",
        "Known gaps and shortcomings of the data, and how they are addressed",
        "Article 10(2)(h)",
        "the data steward",
        ("2.d",),
    ),
    Asked(
        "oversight",
        "Human oversight measures, one for each letter of Article 14(4)",
        "Article 14(4)",
        "the head of operations",
        ("2.e", "3"),
        ("a", "b", "c", "d", "e"),
    ),
    Asked(
        "predetermined_changes",
        "Changes determined in advance, and their limits",
        "Annex IV(2)(f)",
        "the head of data science",
        ("2.f",),
    ),
    Asked(
        "robustness_measures",
        "Redundancy and fail-safe measures",
        "Article 15(4)",
        "the engineering lead",
    ),
    Asked("cybersecurity", "Cybersecurity measures", "Annex IV(2)(h)", "the security lead", ("2.h",)),
    Asked(
        "foreseeable_misuse",
        "Reasonably foreseeable misuse and the risks that follow",
        "Article 13(3)(b)(iii)",
        "the product owner",
        ("3",),
    ),
    Asked(
        "metric_rationale",
        "Why each gated metric is appropriate",
        "Annex IV(4)",
        "the head of data science",
        ("4",),
    ),
    Asked(
        "risk_register",
        "The risk management system: hazards, persons affected, measures, residual risk",
        "Annex IV(5)",
        "the risk owner",
        ("5",),
    ),
    Asked(
        "change_log",
        "Relevant changes through the lifecycle",
        "Annex IV(6)",
        "the head of data science",
        ("6",),
    ),
    Asked(
        "standards_applied",
        "Harmonised standards applied, in full or in part",
        "Annex IV(7)",
        "the compliance officer",
        ("7",),
    ),
    Asked(
        "solutions_adopted",
        "The solutions adopted where no harmonised standard is applied",
        "Annex IV(7)",
        "the compliance officer",
        ("7",),
    ),
    Asked(
        "declaration_ref", "A copy of the EU declaration of conformity", "Annex IV(8)", "the provider", ("8",)
    ),
    Asked(
        "pmm_plan",
        "The post-market monitoring plan: metric, window, threshold, owner",
        "Annex IV(9)",
        "the product owner",
        ("9",),
    ),
    Asked(
        "affected_groups",
        "The persons and groups on whom the system is intended to be used",
        "Annex IV(3)",
        "the product owner",
        ("3",),
    ),
    Asked(
        "acceptability_criteria",
        "When a residual risk is acceptable",
        "Article 9(5)",
        "the risk owner",
        ("5",),
    ),
    Asked(
        "vulnerable_groups",
        "Effects on persons under 18 and other vulnerable groups",
        "Article 9(9)",
        "the risk owner",
        ("5",),
    ),
    Asked(
        "feedback_loops",
        "How feedback loops are prevented in a system that keeps learning",
        "Article 15(4)",
        "the head of data science",
    ),
    Asked(
        "logging",
        "Logging design and retention in days",
        "Articles 12, 19(1) and 26(6)",
        "the engineering lead",
        (),
        ("design", "retention_days"),
    ),
    Asked(
        "retention_years",
        "For how many years the documentation is kept",
        "Article 18(1)",
        "the compliance officer",
    ),
    Asked(
        "art4a",
        "The six statements of Article 4a(1) on special categories of personal data",
        "Article 4a(1)",
        "the data protection officer",
        (),
        ("necessity", "alternatives_considered", "protection", "access", "no_transfer", "deletion"),
    ),
    Asked(
        "protected_attribute_use",
        "Why a protected attribute is a model input",
        "Article 10(2)(f)",
        "the head of data science",
    ),
    Asked(
        "fria",
        "The fundamental rights impact assessment, letters (a) to (f)",
        "Article 27(1)",
        "the deployer",
        (),
        ("a", "b", "c", "d", "e", "f"),
    ),
)
"""In the order of Annex IV, then the rest."""

BY_KEY: dict[str, Asked] = {asked.key: asked for asked in ASKED}
