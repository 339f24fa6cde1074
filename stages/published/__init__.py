"""The authors' archive of weights."""
