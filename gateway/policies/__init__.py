"""What stands between an exchange and its backend: retries and session persistence."""
