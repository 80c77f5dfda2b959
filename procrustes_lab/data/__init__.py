"""Everything real: texts, judgements, networks' vectors, recommenders and glyphs."""
