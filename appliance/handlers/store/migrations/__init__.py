"""The way of a store's tables from version to version, with alembic."""
