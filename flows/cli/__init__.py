"""The command line: `app` names the commands and their flags, one module each holds what they do."""
