"""Views to query: the projector writes views.duckdb, queries are answered beside it. The only folder that imports duckdb."""
