"""Features: the Feast repository, transforms and the packed online store."""
