"""Make stand-in checkpoints: released shapes, seeded values."""
