"""From two sets of vectors to a verdict in words: pairing, diagnosis, evidence, page."""
