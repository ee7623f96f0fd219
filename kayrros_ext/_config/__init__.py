"""Settings, credentials and profiles: arguments, environment, config file, keyring and netrc."""
