"""Pure kernels: match, advance, turn. No I/O, no clock, no randomness."""
