#!/bin/sh
# Install Pango and HarfBuzz-Subset, which WeasyPrint draws PDF with, where one is missing and we may; else print the line to run.
if .venv/bin/python -c 'from weasyprint.text.ffi import harfbuzz_subset as there; assert there' 2>/dev/null; then exit 0; fi
try() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else echo "PDF needs Pango. Run: sudo $*"; return 0; fi
}
if command -v brew >/dev/null 2>&1; then brew install pango
elif command -v apt-get >/dev/null 2>&1; then try apt-get update -qq; try apt-get install -y -qq libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0
elif command -v dnf >/dev/null 2>&1; then try dnf install -y -q pango
else echo "PDF needs Pango; see README.md for your system. HTML is written without it."
fi
exit 0
