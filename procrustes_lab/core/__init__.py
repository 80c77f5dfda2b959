"""The arithmetic: second moments of paired rows, the maps and certificates made of them.

Needs NumPy and SciPy only, and knows no other room.
"""
