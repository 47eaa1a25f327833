"""The rules: each function tests a run for one cause or a few, and yields findings for or against them."""
