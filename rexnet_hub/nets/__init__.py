"""The network, whole, and its counts."""
