"""The demo: a lake of real text that every Python has, served over the S3 protocol on loopback."""
