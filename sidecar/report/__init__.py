"""What the sidecar tells: HTTP answers, metrics and the log."""
