"""Search by dot product, how good it is, the maps that compete for it, and which to choose."""
