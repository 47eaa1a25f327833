"""The rules, one function per cause: what each asks of a run, what it finds, and whether it speaks for or against."""
