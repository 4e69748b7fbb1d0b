"""What starts executions: conditions matched as joins, ends of flows, versions that share a flow, limits."""
