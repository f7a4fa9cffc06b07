//! making, using and attesting keys in a TPM 2.0
