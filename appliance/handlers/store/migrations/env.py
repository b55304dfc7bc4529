"""What alembic runs, on the connection and in the transaction of :mod:`appliance.handlers.store.database`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
