"""Define the families that are built in: each is a module with one record, `FAMILY`."""
