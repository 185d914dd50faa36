"""The rows of a .npy file, read when they are asked for."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from unfreeze.errors import UserError


class RowFile:
    """An array in a .npy file that stays there.

    Reading, unlike a memory map, leaves no pages in the process: its memory does not grow with the
    file, and what fits into the machine's memory is read from there all the same.

    Attributes:
        shape: (N, ...) of the whole array, uint8.

    Raises:
        UserError: the file is missing, or no such array.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            whole = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise missing(path) from None
        if whole.dtype != np.uint8 or not whole.flags.c_contiguous:
            raise UserError(f"{path}: is no array of bytes in C order; run `dvc repro`")
        self.shape, self._offset = whole.shape, whole.offset
        self._file = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """(n, ...) uint8: copies of the rows with these (n,) indices.

        Raises:
            UserError: the file has become shorter.
        """
        rows = np.empty((len(indices), *self.shape[1:]), np.uint8)
        size = rows[:1].nbytes
        for row, index in zip(rows, np.asarray(indices).tolist(), strict=True):
            if os.preadv(self._file, [row], self._offset + index * size) != size:
                raise missing(self._path)
        return rows


def missing(path: Path) -> UserError:
    """The error for decoded photos, or a part of them, that are not there as they should be."""
    return UserError(f"{path}: missing or damaged; run `dvc repro`, which decodes the photos (or "
                     "`dvc checkout`, which restores them)")


def read_ahead(file: RowFile, batches: Sequence[np.ndarray], device) -> Iterator:
    """Rows on a device, batch by batch; the next are read, and copied to a GPU from pinned memory
    on a stream of their own, while one is in use.

    Args:
        batches: (B,) indices each.
        device: torch.device.

    Yields:
        (B, ...) uint8 torch.Tensor.

    Raises:
        UserError: the file has become shorter.
    """
    import torch  # what only shows photos does without

    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def read(batch: np.ndarray) -> tuple:
        rows = torch.from_numpy(file[batch])
        if stream is None:
            return rows, None
        with torch.cuda.stream(stream):
            return rows.pin_memory().to(device, non_blocking=True), stream.record_event()

    with ThreadPoolExecutor(1) as reader:
        waiting, coming = deque(batches), deque()
        while waiting or coming:
            while waiting and len(coming) < 2:
                coming.append(reader.submit(read, waiting.popleft()))
            rows, copied = coming.popleft().result()
            if copied is not None:
                user = torch.cuda.current_stream(device)
                user.wait_event(copied)
                rows.record_stream(user)  # whose work must end before the memory is used again
            yield rows
