"""What others do with the same work, driven as their documentation says."""
