import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support.published import SPEC, export_policy, metadata, parameters
from trainer.checkpoint.manifest import CorruptCheckpoint
from trainer.checkpoint.reader import read_item, read_policy


def test_what_is_read_is_what_was_exported_bit_for_bit(tmp_path: Path) -> None:
    tree = parameters(1)
    version = export_policy(tmp_path, tree, metadata())
    read = read_policy(tmp_path / version, version)
    jax.tree.map(np.testing.assert_array_equal, read.parameters, tree)
    assert read.metadata == metadata()
    x = jax.random.normal(jax.random.key(0), (8, 4))
    np.testing.assert_array_equal(
        jax.jit(read.metadata.policy.apply)(read.parameters, x), jax.jit(SPEC.apply)(tree, x)
    )


def test_the_items_are_separate(tmp_path: Path) -> None:
    version = export_policy(tmp_path, parameters(1), metadata())
    np.testing.assert_array_equal(read_item(tmp_path / version, "dynamics")["p"], np.zeros(3))
    assert read_item(tmp_path / version, "training").keys() == {"value"}


def test_the_version_depends_on_every_parameter_and_on_the_metadata(tmp_path: Path) -> None:
    tree = parameters(1)
    versions = {export_policy(tmp_path, tree, metadata())}
    versions.add(export_policy(tmp_path, tree, metadata(("w", "x", "y", "z"))))
    leaves, structure = jax.tree.flatten(tree)
    for i, leaf in enumerate(leaves):
        changed = [*leaves]
        changed[i] = leaf.copy()
        changed[i].flat[0] = np.nextafter(leaf.flat[0], np.float32(9.0))
        versions.add(export_policy(tmp_path, jax.tree.unflatten(structure, changed), metadata()))
    assert len(versions) == 2 + len(leaves)


def test_one_flipped_bit_in_any_file_is_found_and_blamed_on_that_file(tmp_path: Path) -> None:
    version = export_policy(tmp_path / "good", parameters(1), metadata())
    good = tmp_path / "good" / version
    files = [path.relative_to(good) for path in good.rglob("*") if path.is_file()]
    assert len(files) > 10
    random = np.random.default_rng(0)
    for name in files:
        bad = tmp_path / "bad"
        shutil.copytree(good, bad)
        content = bytearray((bad / name).read_bytes())
        if content:
            content[random.integers(len(content))] ^= 1 << int(random.integers(8))
        else:
            content = bytearray(b"\x01")
        (bad / name).write_bytes(content)
        with pytest.raises(CorruptCheckpoint) as caught:
            read_policy(bad, version)
        assert str(name) in str(caught.value)
        shutil.rmtree(bad)


def test_a_missing_and_an_added_file_are_named(tmp_path: Path) -> None:
    version = export_policy(tmp_path, parameters(1), metadata())
    (tmp_path / version / "stray").write_text("")
    with pytest.raises(CorruptCheckpoint, match="stray is not in the manifest"):
        read_policy(tmp_path / version, version)
    (tmp_path / version / "stray").unlink()
    (tmp_path / version / "metadata" / "metadata").unlink()
    with pytest.raises(CorruptCheckpoint, match="metadata/metadata is missing"):
        read_policy(tmp_path / version, version)


def test_an_intact_checkpoint_under_another_name_is_refused(tmp_path: Path) -> None:
    version = export_policy(tmp_path, parameters(1), metadata())
    with pytest.raises(CorruptCheckpoint, match=f"holds version {version[:12]}, not 0000"):
        read_policy(tmp_path / version, "0" * 64)
