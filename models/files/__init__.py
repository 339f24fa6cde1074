"""Read and write files: atomic writes, safe reading of untrusted files, one-sentence errors."""
