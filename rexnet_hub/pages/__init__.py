"""Render an entry as a card, and the index as a site."""
