"""The configuration: schema, loading, discovery of nameservers."""
