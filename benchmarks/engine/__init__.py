"""The engine: all runs of one problem at one rung by one optimizer, as one tensor program."""
