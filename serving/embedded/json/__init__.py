"""JSON as RapidJSON reads and writes it, to the digit and to the wording of an error."""
