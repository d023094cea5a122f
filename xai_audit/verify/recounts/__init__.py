"""The table of recounts: for each metric how its evidence is made again, and when there is any."""

from __future__ import annotations

from xai_audit.verify.recounts import areas, baseline, checks, decisions, rates, statistics, tokens
from xai_audit.verify.recounts.bench import Recount

RECOUNTS: dict[str, Recount] = {
    **rates.RECOUNTS,
    **statistics.RECOUNTS,
    **areas.RECOUNTS,
    **decisions.RECOUNTS,
    **baseline.RECOUNTS,
    **tokens.RECOUNTS,
    **checks.RECOUNTS,
}
