"""What a registry offers its clients, in the languages that they are told in: TypeScript, OpenAPI, AsyncAPI.

`reading.py` makes one model of it (`interface.py`), in which every type is a JSON Schema (`schemas.py`); each
of the writers makes its document from that alone.
"""

from __future__ import annotations

from .asyncapi import asyncapi
from .interface import Interface
from .openapi import openapi
from .reading import interface_of
from .typescript import typescript

__all__ = ["Interface", "asyncapi", "interface_of", "openapi", "typescript"]
