"""The programs of a cluster: found on PATH, unpacked from a package, or built with Go."""
