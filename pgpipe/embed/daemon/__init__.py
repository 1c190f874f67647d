"""What the embedder is as a daemon: systemd notification and a page of metrics."""
