"""Make stand-in checkpoints: the exact shape of released files, seeded values."""
