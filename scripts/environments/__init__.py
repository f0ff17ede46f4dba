"""What does run in each environment; how a release is brought there, proven, and put back."""
