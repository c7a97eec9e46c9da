"""Checks that an HDF5 file holds the data that it declares, before memory is allocated for them."""

import functools
from pathlib import Path

import h5py

from trainer.transfer.recording import NotARecording

PLAIN_BYTES = 64 << 20
"""A dataset up to this size is accepted as declared."""
LARGEST_RATIO = 1_100
"""Largest ratio of declared to stored bytes: deflate, HDF5's usual compression, reaches 1032."""


def check_sizes(directory: Path) -> None:
    """Check the declared size of each dataset in HDF5 files against the bytes that the file stores for it.

    One damaged bit can declare an array of many gigabytes.

    Raises:
        NotARecording: naming the dataset, and both sizes.
        OSError, RuntimeError: HDF5 cannot read the file.
    """
    for path in directory.glob("*.hdf5"):
        with h5py.File(path) as file:
            file.visititems(functools.partial(_check, path))


def _check(path: Path, name: str, item: h5py.Dataset | h5py.Group) -> None:
    if not isinstance(item, h5py.Dataset):
        return
    stored = min(item.id.get_storage_size(), path.stat().st_size)
    if item.nbytes > max(PLAIN_BYTES, LARGEST_RATIO * stored):
        raise NotARecording(
            f"{path} is damaged: {name} declares {item.nbytes} bytes, of which the file holds {stored}"
        )
