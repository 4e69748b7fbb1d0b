"""What may come in for one execution, and how far it goes then."""
