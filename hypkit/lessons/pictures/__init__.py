"""The pictures that one lesson alone shows."""
