"""Read and write repos on a Hub, every fault a message."""
