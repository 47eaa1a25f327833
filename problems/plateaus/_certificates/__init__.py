"""What is measured about the problems beside it: one file each, under the same name."""
