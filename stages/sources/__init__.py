"""Read labelled images from an archive, a folder or a download."""
