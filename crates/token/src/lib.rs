//! signed and sealed statements (JWS, JWE) with pinned algorithms
