"""What runs in each environment; how a release is brought there, verified, and put back."""
