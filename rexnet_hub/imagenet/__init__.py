"""Pixels, classes, data sets and exact accuracy."""
