"""Read labelled images, and measure exact accuracy on them."""
