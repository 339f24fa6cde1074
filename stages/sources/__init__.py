"""From an archive, a folder or a download to labelled images."""
