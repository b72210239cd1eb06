"""What docker-compose.yml's `setup` makes before anything else: secrets for development, in volumes, once.

Run as `python -m localstack.container_home HOME FOLDER`. HOME is read by Chancery's processes as on a machine without
Docker; FOLDER holds what PostgreSQL's container reads, which is another user's.
"""

import sys
from pathlib import Path

from localstack.settings_files import POSTGRES_PASSWORD, load_or_make_secrets, render, write_private

PASSWORD_FILE = "password"  # noqa: S105 - the name of a file
READABLE = 0o444
ARGUMENTS = 3


def make(home: Path, folder: Path) -> None:
    """Secrets stay what they were; the rest follows from them."""
    password = load_or_make_secrets(home / "secrets.env")[POSTGRES_PASSWORD]
    dsn = f"postgresql://chancery:{password}@postgres:5432/chancery"
    write_private(home / "local.env", render({"CHANCERY_POSTGRES_DSN": dsn}))
    write_private(folder / PASSWORD_FILE, password)
    (folder / PASSWORD_FILE).chmod(READABLE)


if __name__ == "__main__":
    if len(sys.argv) != ARGUMENTS:
        sys.exit("usage: python -m localstack.container_home HOME FOLDER")
    make(Path(sys.argv[1]), Path(sys.argv[2]))
