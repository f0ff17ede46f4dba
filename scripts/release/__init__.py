"""A release, and its forms: files on disk, an image, artifacts in a registry."""
