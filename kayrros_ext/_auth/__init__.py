"""The login, and the cache of its token."""
