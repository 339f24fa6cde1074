"""What lies on disk is written whole or not at all, read without trust, refused in a sentence."""
