"""An entry as a card, the index as a site."""
