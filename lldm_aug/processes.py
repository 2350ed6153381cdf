"""What commands that run in several processes share."""

from __future__ import annotations

from datetime import timedelta

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: one may prepare all cases, or have made its share long before."""
