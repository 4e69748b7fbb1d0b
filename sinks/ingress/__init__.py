"""The way into ingress.db: a server that commits for all, and a client that finds it or writes itself."""
