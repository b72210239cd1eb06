"""`python -m tests.support.proto` makes the gRPC code anew from the .proto file."""

import shutil
import tempfile
from pathlib import Path

from grpc_tools import protoc

RPC = Path(__file__).parents[2] / "query_api" / "rpc"
MADE = ("token_service_pb2.py", "token_service_pb2.pyi")


def generate(folder: Path) -> None:
    """Write what is MADE into this folder. The schema calls itself by its package, as others will import it."""
    with tempfile.TemporaryDirectory() as made:
        arguments = (
            f"--proto_path=chancery/v1={RPC}",
            f"--python_out={made}",
            f"--pyi_out={made}",
            "chancery/v1/token_service.proto",
        )
        if protoc.main(("protoc", *arguments)) != 0:
            raise SystemExit("protoc refused the schema; what is wrong stands above")
        for name in MADE:
            shutil.copy(Path(made) / "chancery" / "v1" / name, folder / name)


if __name__ == "__main__":
    generate(RPC)
