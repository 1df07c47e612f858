"""What is remembered. The database is the truth: every state of a job changes here, by a guarded statement.

SQLAlchemy Core on typed tables, on SQLite and PostgreSQL alike. Functions take a `Connection` inside a transaction and
what they work on comes first; who opens transactions is `session.py`.
"""
