"""Embedding files of many formats: read, joined by id or position, and written whole."""

from .pairs import Block, FileError, Pairs, Vectors, blocks, join, read, sha256

__all__ = ["Block", "FileError", "Pairs", "Vectors", "blocks", "join", "read", "sha256"]
