"""Search by dot product, how good it is, and the maps that compete for it."""
