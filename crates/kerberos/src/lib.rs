//! MIT libkrb5 and GSSAPI through hand-written bindings
