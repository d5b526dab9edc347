"""Shell: metrics, logs, status page."""
