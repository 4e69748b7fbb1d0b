"""The words: records, contracts, the flow language, ids. Imports nothing of ours."""
