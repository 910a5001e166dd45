"""`python -m voltweave` is `voltweave`."""

from __future__ import annotations

from voltweave.cli import main

main()
