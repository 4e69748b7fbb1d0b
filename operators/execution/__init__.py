"""One execution between two inputs: its state, its tokens in frames, what it issues, what undoes it."""
