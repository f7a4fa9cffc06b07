//! the server's persistence: one contract, SQLite behind one writer
