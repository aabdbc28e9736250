"""The program `hf-prune`: its subcommands, and the way in."""

import typer

from hf_prune.cli.apply import apply
from hf_prune.cli.command import command
from hf_prune.cli.compare import compare
from hf_prune.cli.embed import embed
from hf_prune.cli.info import info
from hf_prune.cli.methods import methods
from hf_prune.cli.prune import prune
from hf_prune.cli.push import push
from hf_prune.cli.recommend import recommend

SUBCOMMANDS = (prune, apply, info, push, embed, methods, compare, recommend)
"""In the order in which the help lists them."""

# Plain help: one paragraph stays one paragraph, and rich is not imported for it.
app = typer.Typer(
    name="hf-prune",
    help="Keep the part of a dataset that a model needs. Each command's --help has an example.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _function in SUBCOMMANDS:
    app.command()(command(_function))


def main() -> None:
    """Run the program with the arguments of the process; never returns."""
    app(prog_name="hf-prune")
