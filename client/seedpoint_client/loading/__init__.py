"""Modules filled with a checkpoint's values, from its plan or over HTTP. Needs torch."""
