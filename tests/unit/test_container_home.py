"""What docker-compose.yml's `setup` leaves behind."""

import stat
from pathlib import Path

from localstack.container_home import make
from localstack.settings_files import parse
from runtime.settings import DEVELOPMENT_MARK


def contents(*folders: Path) -> dict[str, str]:
    return {file.name: file.read_text() for folder in folders for file in folder.iterdir()}


def test_postgres_reads_the_password_that_chancery_shows(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "postgres"
    home.mkdir()
    folder.mkdir()
    make(home, folder)
    made = contents(home, folder)
    password = made["password"]
    assert parse(made["local.env"]) == {
        "CHANCERY_POSTGRES_DSN": f"postgresql://chancery:{password}@postgres:5432/chancery"
    }
    assert parse(made["secrets.env"])["CHANCERY_SECRET_KEY"].startswith(DEVELOPMENT_MARK)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for one in (home, folder) for file in one.iterdir()}
    assert modes == {"local.env": 0o600, "secrets.env": 0o600, "password": 0o444}
    make(home, folder)
    assert contents(home, folder) == made
