"""Specs and policies from YAML: every mistake in them at once, each at its place."""

from __future__ import annotations

from xai_audit.reading.policies import find_policy, read_policies, read_policy, shipped
from xai_audit.reading.schemas import audit_schema, policy_schema, spec_schema
from xai_audit.reading.spec import read_spec, read_specs

__all__ = [
    "audit_schema",
    "find_policy",
    "policy_schema",
    "read_policies",
    "read_policy",
    "read_spec",
    "read_specs",
    "shipped",
    "spec_schema",
]
