"""Where it meets: parse, check, compile, explain, the runners, the roles and the command line."""
