//! typed calls to the server; the only HTTP and TLS client
