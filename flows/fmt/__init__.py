"""`fmt`: the one layout of a definition file. Comments stay, meaning stays, the strict loader reads it back."""
