"""A repo folder: its config, its weights, its receipt; written whole, read back."""
