"""Seedpoint: a spec in, the bytes of an initialized checkpoint out."""
