from pathlib import Path

from protos import generate


def test_committed_code_is_what_the_pinned_compiler_generates(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    root = Path(generate.__file__).parent.parent
    generated = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*.py*"))
    assert len(generated) == 3 * len(generate.SOURCES)
    for name in generated:
        assert (root / name).read_text() == (tmp_path / name).read_text(), (
            f"{name}: python -m protos.generate"
        )


def test_every_enum_begins_with_unspecified() -> None:
    from protos.hds.v1 import policy_pb2, training_pb2, types_pb2

    for module in (types_pb2, policy_pb2, training_pb2):
        for enum in module.DESCRIPTOR.enum_types_by_name.values():
            assert enum.values_by_number[0].name.endswith("_UNSPECIFIED")
