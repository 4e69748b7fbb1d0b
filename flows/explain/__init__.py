"""What a flow does, in words and as a picture."""
