use super::*;

#[test]
fn a_removed_package_counts_as_missing() {
    let known = "installed openssl\nnot-installed swtpm\nconfig-files gdb\n";
    assert!(is_installed(known, "openssl"));
    assert!(!is_installed(known, "swtpm"));
    assert!(!is_installed(known, "gdb"));
    assert!(!is_installed(known, "open"));
}
