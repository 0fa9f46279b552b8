"""Read, render and judge what was measured: records, predictions, verdicts."""
