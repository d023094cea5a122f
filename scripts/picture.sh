#!/bin/sh
# docs/page1.png, the first page of the demo's report, made small; after `make demo`. Needs pdftoppm (poppler-utils).
set -e
cd "$(dirname "$0")/.."
pdftoppm -png -r 88 -f 1 -l 1 -singlefile out/diabetes/report.pdf docs/page1
.venv/bin/python -c '
from pathlib import Path
from PIL import Image

path = Path("docs/page1.png")
Image.open(path).convert("RGB").quantize(96, method=2).save(path, optimize=True)
print(f"{path}: {path.stat().st_size // 1000} kB")'
