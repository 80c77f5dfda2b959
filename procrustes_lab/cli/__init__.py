"""The command line; no other room knows it."""
