"""All requests to GitHub, by `gh`: no other package makes any."""
