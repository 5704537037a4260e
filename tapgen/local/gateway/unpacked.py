"""A package's zip as a folder, by digest: the bytes that are deployed are the bytes that run."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from tapgen.files import CannotWrite

# The one that runs, and the one to go back to.
KEPT = 2


def unpacked(package: Path, digest: str, cache: Path) -> Path:
    """The folder in ``cache`` that holds the files of ``package``, made when it is not there.

    One process at a time per cache. Raises ``CannotWrite``.
    """
    folder = cache / digest[:32]
    if folder.is_dir():
        folder.touch()
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=cache, prefix=".part-"))
        try:
            with zipfile.ZipFile(package) as archive:
                archive.extractall(work)
            work.chmod(0o755)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise CannotWrite(folder, error) from error
    for old in sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder
