"""Prints the JSON Schema of ``report.json``: ``python -m natless.report``."""

from natless.report.json_doc import schema_text

if __name__ == "__main__":
    print(schema_text(), end="")
