"""``python -m xai_audit`` is ``xai-audit``."""

from __future__ import annotations

from xai_audit.cli import main

if __name__ == "__main__":
    main()
