"""What the sidecar reports: HTTP answers, metrics and the log."""
