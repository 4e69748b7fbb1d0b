"""One turn: many executions, what they say to each other, and what is committed of it."""
