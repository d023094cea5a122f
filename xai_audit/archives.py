"""What goes wrong where a file of arrays is not what was written."""

from __future__ import annotations

import zipfile
import zlib

BROKEN = (
    OSError, ValueError, EOFError, KeyError, TypeError, NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
"""All that numpy and zipfile raise of an .npz that is cut off, changed or of another kind."""
