//! liblatchkey_pkcs11.so: the user's key as a PKCS#11 token
