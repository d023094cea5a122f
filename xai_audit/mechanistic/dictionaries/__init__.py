"""Sparse dictionaries of activations: trained, read and written, measured, their features described and tested."""
