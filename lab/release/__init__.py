"""The files of a release, in `dist/`: images, chart, manifests, wheels, lists of their parts, and checksums.

A release is made of a commit, never of the working tree. All times in it are the commit's time (`SOURCE_DATE_EPOCH`),
so chart, manifests and wheels have the same digests wherever and whenever they are made (docs/release.md).
"""
