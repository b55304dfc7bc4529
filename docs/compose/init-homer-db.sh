#!/bin/sh
# heplify-server makes homer_data itself; Homer's pages expect their own database to be there.
set -e
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -c "CREATE DATABASE homer_config;"
