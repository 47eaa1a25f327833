"""The command line: words in, a sweep or a subcommand out."""
