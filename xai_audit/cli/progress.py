"""How far a run is, drawn on stderr: a bar and the time left on a terminal, nothing when piped."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from xai_audit.writing import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Bar(Stage):
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task
        self._steps = 1
        self._done = 0

    def stage(self, name: str) -> None:
        self._bar.update(
            self._task, description={"load": "loading", "judge": "judging"}.get(name, f"writing {name}")
        )

    def step(self, name: str, number: int, of: int) -> None:
        # A step counts as 100 so that its pieces move the bar too.
        self._steps, self._done = of, number
        self._bar.update(self._task, description=name, total=of * 100, completed=number * 100)

    def pieces(self, done: int, of: int) -> None:
        if of:
            self._bar.update(self._task, completed=self._done * 100 + 100 * done / of)


@contextlib.contextmanager
def shown(name: str, *, quiet: bool) -> Iterator[Stage]:
    """Progress of the audit of that name; silent where quiet or where stderr is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield Stage()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from xai_audit.render.visible import visible

    columns = (TextColumn("{task.description:<28.28}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(visible(name), total=None)
        yield _Bar(bar, task)
