"""The doctor in other people's trainers: a callback for each, in a module of its name."""
