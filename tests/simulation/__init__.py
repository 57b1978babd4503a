"""Seeded simulations of whole incidents."""
