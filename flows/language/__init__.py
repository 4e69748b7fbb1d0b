"""The language: from text to a checked, compiled flow: parse, check, canonical form, program, and its explanation."""
