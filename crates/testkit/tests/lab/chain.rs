//! The chain as the product plays it: from no credential to a ticket by PIN, and back.

use anyhow::Result;
use testkit::company::text;

use crate::company;

const PIN: &str = "271828182845";

#[test]
fn a_person_enrolls_and_signs_in_with_the_pin() -> Result<()> {
    let (_turn, company) = company();
    company.give_factor("alice")?;
    company.password_sign_in("alice")?;
    let done = company.enroll("alice", PIN)?;
    assert_eq!(company.keys_in_directory("alice")?.len(), 1, "{done}");
    let answer = serde_json::from_str(&company.sign_in("alice", PIN)?.ok()?)?;
    assert_eq!(text(&answer, "principal")?, "alice@CORP.LATCHKEY.TEST");
    assert!(
        company
            .lab
            .kdc_log()?
            .contains("PK-INIT(ietf) pre-authentication succeeded")
    );
    company.admin(&["key", "delete", text(&done, "kid")?])?;
    Ok(())
}
