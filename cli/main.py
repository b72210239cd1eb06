"""The `chancery` command. Each group of sub-commands lives in its own file and is added below by name.

A sub-command's file imports only light things at its top and its heavy ones inside its functions, so that
`chancery status` does not wait for what `chancery serve` needs.
"""

import typer

from cli import admin, demo, keys, projections, provision, replay, serve, stack
from cli.doctor.command import doctor

app = typer.Typer(
    name="chancery",
    help="Chancery: an identity platform whose only truth is a chained log of events.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # Its tracebacks would print local variables, secrets among them.
)

app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)
app.command()(stack.logs)
app.command()(stack.inbox)
app.command()(stack.clean)
app.command()(demo.demo)
app.command()(serve.serve)
app.command()(provision.provision)
app.command()(doctor)
app.add_typer(admin.app, name="admin")
app.add_typer(keys.app, name="keys")
app.add_typer(projections.app, name="projections")
app.add_typer(replay.app, name="replay")


def main() -> None:
    app(prog_name="chancery")


if __name__ == "__main__":
    main()
