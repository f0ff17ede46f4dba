"""This checkout and this terminal: files, git, settings, the locked environments. Knows no model, registry or cluster."""
