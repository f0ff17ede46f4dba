"""Figures: each compares two things in one run on one machine. `./pipeline test tests/benchmarks -s` prints them."""
