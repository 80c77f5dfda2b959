"""Embedding files of many formats: read, joined by id or position, and written whole."""

from .formats import Block, By, FileError, Wanted
from .pairs import Pairs, Vectors, blocks, join, read, read_pairs, sha256

__all__ = ["Block", "By", "FileError", "Pairs", "Vectors", "Wanted"]
__all__ += ["blocks", "join", "read", "read_pairs", "sha256"]
