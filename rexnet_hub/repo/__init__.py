"""Read and write a repo folder: config, weights, receipt."""
