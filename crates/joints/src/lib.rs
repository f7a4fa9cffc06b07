//! stop points at the joints between parts, for kill tests
