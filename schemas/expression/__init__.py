"""The expression language (flow-language.md section 4): one tree, checked once, evaluated over columns or over a row."""
