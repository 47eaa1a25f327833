"""Run one optimizer on one problem at one rung: all trials on all instances as one tensor program."""
