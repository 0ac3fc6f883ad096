"""Alembic's environment and the revisions of the catalogue's schema."""
