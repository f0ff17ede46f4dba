"""Data and weights from elsewhere: brought by what model/sources.json says of them, verified, and kept by their content."""
