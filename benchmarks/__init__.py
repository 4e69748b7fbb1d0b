"""One file per question; each runs alone and ends with one JSON line."""
