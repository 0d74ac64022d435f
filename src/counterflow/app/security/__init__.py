"""Tokens, certificates and secrets, and what happened to them."""
