"""Everything that breaks, broken on purpose under load: `python -m bench.chaos`, see README.md."""
