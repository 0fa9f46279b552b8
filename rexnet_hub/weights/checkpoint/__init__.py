"""Read the containers that checkpoints come in, running nothing of them."""
