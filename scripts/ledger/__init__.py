"""What git says should run in each environment."""
