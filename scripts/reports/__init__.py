"""Reports on a model and on a comparison, for people: Markdown and plots."""
