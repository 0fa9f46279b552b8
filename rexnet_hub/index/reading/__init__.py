"""Read model-index files: text, nodes, values, entries, and what is wrong with them."""
