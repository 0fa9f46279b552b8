"""Run networks over a data set: exact, resumable, the same bytes however it is run."""
