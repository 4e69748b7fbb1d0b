"""`up`: all roles of a home under one supervisor."""
