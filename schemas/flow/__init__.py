"""The flow language as pydantic models: what a person may write, and its JSON Schema."""
