//! What is written from the table: the reference page and the administrative template for the
//! settings that are Latchkey's own. The files are checked in, and a test fails when one is not what
//! the table says; `UPDATE_EXPECT=1` writes them anew.

mod reference;
mod template;

use expect_test::expect_file;

use super::SETTINGS;

#[test]
fn the_reference_page_says_what_the_table_says() {
    expect_file!["../../../../docs/reference/policies.md"].assert_eq(&reference::page());
}

#[test]
fn the_administrative_template_has_what_the_table_has() {
    expect_file!["../../../../packaging/policy-definitions/Latchkey.admx"]
        .assert_eq(&template::admx());
    expect_file!["../../../../packaging/policy-definitions/en-US/Latchkey.adml"]
        .assert_eq(&template::adml());
}

/// Every text that the template refers to has to be in the language file, or the editor shows an
/// error in place of the whole template.
#[test]
fn every_text_of_the_template_is_in_the_language_file() {
    let (admx, adml) = (template::admx(), template::adml());
    let mut found = 0;
    for (reference, element) in [
        ("$(string.", "<string"),
        ("$(presentation.", "<presentation"),
    ] {
        for rest in admx.split(reference).skip(1) {
            let (id, _) = rest.split_once(')').unwrap();
            assert!(adml.contains(&format!("{element} id=\"{id}\">")), "{id}");
            found += 1;
        }
    }
    assert!(found > 2 * SETTINGS.iter().filter_map(template::own).count());
}
