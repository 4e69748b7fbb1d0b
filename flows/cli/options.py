"""What all commands share: their common flags, and how one is carried out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from flows.cli.table import COMMANDS, load
from flows.cli.terminal import Terminal
from schemas.errors import InvalidFlow, InvalidInput, MillraceError

FINE: Final = 0
FAILED: Final = 1
INVALID: Final = 2

Home = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="The folder with all state (default .millrace).")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML or JSON; each may hold several documents.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so (default: the user of this machine).")]
Role = Annotated[list[str] | None, typer.Option("--role", metavar="NAME", help="A role that this person has; again for more.")]
Occurrence = Annotated[int, typer.Option("--occurrence", min=0, help="Which pass of the step, from 0.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="The most rows to show.")]


def perform(command: str, *, json: bool = False, **options: Any) -> None:
    """Run a command and end with its exit code: 0 fine, 1 failed, 2 invalid input."""
    terminal = Terminal(json=json)
    try:
        code = load(COMMANDS[command])(terminal, **options)
    except InvalidFlow as error:
        for problem in error.problems:
            terminal.say(str(problem))
        code = INVALID
    except InvalidInput as error:
        terminal.say(f"millrace {command}: {error}")
        code = INVALID
    except MillraceError as error:
        terminal.say(f"millrace {command}: {error}")
        code = FAILED
    except KeyboardInterrupt:
        code = FAILED
    except BrokenPipeError:
        sys.stderr.close()
        code = FAILED
    raise typer.Exit(code or FINE)
