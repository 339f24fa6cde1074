"""Write integer parameters and designs as C++ headers, and read such headers."""
