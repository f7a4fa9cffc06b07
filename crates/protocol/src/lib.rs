//! enrollment and registration as sans-IO state machines, and the statements both ends sign
