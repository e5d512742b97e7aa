"""Acme's own models, as adapters for Myriad."""
