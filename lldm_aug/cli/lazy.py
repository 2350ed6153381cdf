"""A click group that lists its commands without importing them, and turns the package's errors into one line."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NoReturn

import click

from lldm_aug.errors import LldmAugError

INTERRUPTED = 130
# What a user can mend without a traceback; any other operating-system error is a fault of ours, and shows where.
_USERS_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


class LazyGroup(click.Group):
    """A group whose commands come from a table ``{name: ("module:attribute", one-line help)}``."""

    def __init__(self, *args: Any, commands_table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_table = commands_table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table's order: the order in which people use them."""
        return list(self.commands_table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command, or gives None for an unknown name."""
        if cmd_name not in self.commands_table:
            return None
        module, attribute = self.commands_table[cmd_name][0].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_table.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except LldmAugError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("interrupted; run the same command again to go on", INTERRUPTED)
        except OSError as error:
            if error.errno not in _USERS_ERRNOS:
                raise
            place = "" if error.filename is None else f"{error.filename}: "
            _fail(f"{place}{error.strerror}", 1)


def _fail(message: str, exit_code: int) -> NoReturn:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {' '.join(message.split())}", err=True)
    raise click.exceptions.Exit(exit_code)
