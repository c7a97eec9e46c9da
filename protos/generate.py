"""Regenerate the code of `protos/hds/v1/*.proto`; run from the repository root.

    python -m protos.generate [OUTPUT_ROOT]

The compiler is pinned (extra `test`): generated code refuses a runtime older than its compiler, so
the oldest supported one generates it.
"""

import importlib.resources
import sys
from pathlib import Path

SOURCES = sorted(path.name for path in (Path(__file__).parent / "hds" / "v1").glob("*.proto"))


def generate(output_root: Path) -> None:
    """Write `protos/hds/v1/*_pb2*.py*` below `output_root`; raise `RuntimeError` if protoc fails."""
    from grpc_tools import protoc

    root = Path(__file__).parent.parent
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    files = [f"protos/hds/v1/{name}" for name in SOURCES]
    outputs = [f"--{kind}_out={output_root}" for kind in ("python", "grpc_python", "pyi")]
    status = protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *outputs, *files])
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent)
