"""A release as a thing, and where it is kept: on disk, as an image, in a registry."""
