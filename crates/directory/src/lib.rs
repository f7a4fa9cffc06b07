//! reading and writing Active Directory over sealed LDAP
