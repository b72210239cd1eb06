"""`python -m tests.support.proto` makes the gRPC code anew from the .proto files."""

import shutil
import tempfile
from pathlib import Path

import google.rpc.status_pb2
from grpc_tools import protoc

RPC = Path(__file__).parents[2] / "query_api" / "rpc"
COMMON = (Path(google.rpc.status_pb2.__file__).parents[2], Path(protoc.__file__).parent / "_proto")
"""Where the schemas of Google's are that ours name."""
SCHEMAS = ("token_service", "ext_authz")
MADE = tuple(f"{name}_pb2.{end}" for name in SCHEMAS for end in ("py", "pyi"))


def generate(folder: Path) -> None:
    """Write what is MADE into this folder. The schema calls itself by its package, as others will import it."""
    with tempfile.TemporaryDirectory() as made:
        arguments = (
            f"--proto_path=chancery/v1={RPC}",
            *(f"--proto_path={folder}" for folder in COMMON),
            f"--python_out={made}",
            f"--pyi_out={made}",
            *(f"chancery/v1/{name}.proto" for name in SCHEMAS),
        )
        if protoc.main(("protoc", *arguments)) != 0:
            raise SystemExit("protoc refused the schema; what is wrong stands above")
        for name in MADE:
            shutil.copy(Path(made) / "chancery" / "v1" / name, folder / name)


if __name__ == "__main__":
    generate(RPC)
