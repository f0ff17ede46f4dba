"""What is asked of GitHub, by `gh`: nothing else asks it."""
