"""Read and write repos on a Hub, each fault one clear error."""
