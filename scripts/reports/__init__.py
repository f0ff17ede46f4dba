"""What people read of a model and of a comparison: Markdown and plots."""
