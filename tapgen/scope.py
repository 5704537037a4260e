"""How often a stack stands: what decides its name, its settings and what destroys it."""

from __future__ import annotations

from enum import Enum


class Scope(Enum):
    """How often a stack stands: once per environment, or once per account and region."""

    ENVIRONMENT = "environment"
    ACCOUNT = "account"
