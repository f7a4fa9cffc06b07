//! the server's HTTP interface: paths, requests, answers, error codes
