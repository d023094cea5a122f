"""The command line: a table of commands, each loaded when it is called; start-up imports click alone."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from xai_audit import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Write a commented spec from a model and a table."),
    "check": ("check", "Tell every mistake in specs at once; run nothing."),
    "run": ("run", "Run the audits that specs ask for."),
    "freeze": ("freeze", "Fix thresholds and methods before data are opened."),
    "gate": ("gate", "Judge the evidence of an audit again."),
    "compare": ("compare", "Tell what changed between two audits."),
    "sign": ("sign", "Sign an audit."),
    "verify": ("verify", "Make every number, rule and page of an audit again."),
    "render": ("render", "Write the reports of an audit again."),
    "attach": ("attach", "Put an audit into a model card or onto a model of a registry."),
    "neurons": ("neurons", "Build a searchable store of a network's units, and ask it."),
    "list": ("list_", "List explainers, metrics, policies, formats and loaders."),
    "schema": ("schema", "Print the JSON Schema of a spec, a policy or audit.json."),
    "view": ("view", "Open the report of an audit."),
    "doctor": ("doctor", "Say what is installed and what is missing."),
}
"""Each command's module in this package and its line in --help."""

LATER = ("plan", "explain", "selftest")
"""Commands that are reserved and not built."""

EPILOG = """\b
Exit codes of run and gate: 0 pass, 1 fail, 2 a mistake in what was asked,
3 a person must look, 4 could not run, 130 interrupted.
Other commands: 0 done, 2 usage, 4 could not.

\b
Completion of commands and options in your shell:
  bash  eval "$(_XAI_AUDIT_COMPLETE=bash_source xai-audit)"    in ~/.bashrc
  zsh   eval "$(_XAI_AUDIT_COMPLETE=zsh_source xai-audit)"     in ~/.zshrc
  fish  _XAI_AUDIT_COMPLETE=fish_source xai-audit | source     in ~/.config/fish/config.fish
"""


class LaterError(click.ClickException):
    """A reserved command that is not built."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the one line."""
        click.echo(self.message, err=file is None, file=file)


class Commands(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order they are used."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, imported now; None where there is none by that name."""
        del ctx
        if cmd_name in LATER:
            raise LaterError(f"xai-audit {cmd_name}: not available in this version")
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"xai_audit.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by the arguments; the error for an unknown one suggests a known one."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS and name not in LATER:
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]!r}?" if close else "xai-audit --help lists them"
            ctx.fail(f"no command named {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their lines, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="xai-audit", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
def cli(debug: bool) -> None:
    """One YAML spec turns a model and its data into evidence, a verdict and a report.

    \b
        xai-audit init --model model.skops --data test.csv --target y
        xai-audit check audit.yaml
        xai-audit run audit.yaml -o out
    """  # noqa: D301  # click's mark for lines that stay as they are is the character, not its escape
    del debug  # commands read it off the root context


def entry(args: Sequence[str]) -> int:
    """The exit code of one call; everything that goes wrong is told on stderr."""
    given = list(args)
    debug = "--debug" in given
    # --debug holds wherever it stands, since an error asks for it after the whole line was typed.
    line = [*(["--debug"] if debug else []), *(arg for arg in given if arg != "--debug")]
    try:
        returned = cli.main(line, prog_name="xai-audit", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 4 if isinstance(error, click.FileError) else 2
    except BrokenPipeError:
        # Whoever read us has gone; what Python still holds for stdout has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 4
    except Exception as error:  # noqa: BLE001 - the last place where anything can be told in one line
        return _told(error, debug=debug)
    return returned if type(returned) is int else 0


def _told(error: Exception, *, debug: bool) -> int:
    """Print an error in one line (a spec's mistakes in one each) and give its exit code."""
    from xai_audit.errors import AuditError

    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, AuditError):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"{where}{error.strerror}", err=True)
        return 4
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    click.echo(f"internal error: {reason}{'' if debug else '; run again with --debug'}", err=True)
    return 4


def main() -> None:
    """Run the command line and exit."""
    sys.exit(entry(sys.argv[1:]))
