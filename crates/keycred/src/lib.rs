//! key credentials (msDS-KeyCredentialLink) and public key blobs: bytes to types and back
