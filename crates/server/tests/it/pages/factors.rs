//! Factors in a real browser: set up, used, approved elsewhere.

use super::{
    audited, otp_of, pass_for,
    webdriver::{Driver, Window},
};
use crate::{
    oauth::people::{DORA, EMIL, PASSWORD, company},
    parties::otp,
    server::TestServer,
};

/// A company whose server a browser can reach, its URL, and a browser.
async fn company_and_browser() -> (TestServer, String, Driver) {
    let mut server = company().await;
    let url = server.move_to_its_url().await;
    (server, url, Driver::start())
}

fn open<'a>(driver: &'a Driver, server: &TestServer) -> Window<'a> {
    driver.open(server.tls_key_sha256())
}

/// Types a name and a password.
fn give_password(window: &Window<'_>, upn: &str) {
    window.type_into("#i0116", &format!("{upn}\n"));
    window.type_into("#i0118", &format!("{PASSWORD}\n"));
}

/// Dora signs in at a page with her password and her one-time password.
fn sign_in_dora(window: &Window<'_>, server: &TestServer, page: &str) {
    window.go(page);
    give_password(window, DORA);
    // No one-time password is taken twice.
    server.pass(30);
    let code = otp(server.now());
    window.type_into("#idTxtBx_SAOTCC_OTC", &format!("{code}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_is_set_up_with_an_access_pass_and_signs_in_alone() {
    let (server, url, driver) = company_and_browser().await;
    let pass = pass_for(&server, EMIL, true).await;
    let security = format!("{url}/security");
    let window = open(&driver, &server);
    window.plug_in();
    window.go(&security);
    window.picture("name");
    window.type_into("#i0116", &format!("{EMIL}\n"));
    window.text("#i0118");
    window.picture("password");
    window.click("[data-value=AccessPass]");
    window.picture("access-pass");
    window.type_into("#access-pass", &format!("{}\n", pass.to_lowercase()));
    window.click("#add-key");
    window.picture("add-key");
    window.type_into("#key-name", "My <b>laptop</b>\n");
    window.text("#done");
    window.picture("security");
    let listed = window.text("#factors");
    assert!(listed.contains("My <b>laptop</b>"), "{listed}");
    window.click("nav button");
    window.text("#message");

    // Neither name nor password: the key is both.
    window.go(&security);
    window.click("[data-value=FidoKey]");
    window.picture("security-key");
    window.click("#use-key");
    let listed = window.text("#factors");
    assert!(listed.contains("last used"), "{listed}");
    assert_eq!(window.url(), security);
    let log = audited(&server).await;
    for action in ["access_pass.issue", "access_pass.use", "factor.add"] {
        assert!(log.iter().any(|row| row == action), "{action}: {log:?}");
    }

    // And taken out again it opens nothing.
    window.click("#factors .bad");
    window.text("#done");
    window.click("nav button");
    window.text("#message");
    window.go(&security);
    window.click("[data-value=FidoKey]");
    window.click("#use-key");
    let problem = window.text("#error, #security-key-problem:not([hidden])");
    assert!(problem.contains("key"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticator_app_is_set_up_by_its_first_code_and_asked_for_from_then_on() {
    let (server, url, driver) = company_and_browser().await;
    let pass = pass_for(&server, EMIL, true).await;
    let window = open(&driver, &server);
    window.go(&format!("{url}/security"));
    window.type_into("#i0116", &format!("{EMIL}\n"));
    window.click("[data-value=AccessPass]");
    window.type_into("#access-pass", &format!("{pass}\n"));
    window.click("#add-app");
    let secret = window.text("#secret");
    window.picture("add-app");
    window.type_into("#code", "000000\n");
    window.text("#error");
    assert_eq!(window.text("#secret"), secret, "the same one goes on");
    window.type_into("#code", &format!("{}\n", otp_of(&secret, server.now())));
    window.text("#done");
    window.click("nav button");
    window.text("#message");

    window.go(&format!("{url}/security"));
    give_password(&window, EMIL);
    window.text("#idTxtBx_SAOTCC_OTC");
    window.picture("code");
    let used = otp_of(&secret, server.now());
    window.type_into("#idTxtBx_SAOTCC_OTC", &format!("{used}\n"));
    let problem = window.text("#error");
    assert!(problem.contains("used already"), "{problem}");
    server.pass(30);
    let code = otp_of(&secret, server.now());
    window.type_into("#idTxtBx_SAOTCC_OTC", &format!("{code}\n"));
    let listed = window.text("#factors");
    assert!(listed.contains("Authenticator app"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_approved_by_its_number_where_its_user_is_signed_in_already() {
    let (server, url, driver) = company_and_browser().await;
    let (there, here) = (open(&driver, &server), open(&driver, &server));
    sign_in_dora(&there, &server, &format!("{url}/approvals"));
    there.text("#none");
    there.picture("approvals-none");

    let ask = || {
        here.go(&format!("{url}/signin"));
        give_password(&here, DORA);
        here.click("[data-value=PhoneAppNotification]");
        here.text("#number")
    };

    // The right number lets in.
    let number = ask();
    here.picture("number");
    there.text(".approve");
    there.picture("approvals");
    there.type_into(".code", &format!("{number}\n"));
    there.text("#done");
    here.text("#factors");
    here.click("nav button");
    here.text("#message");

    // Another number does not, and ends it.
    let number: u32 = ask().parse().unwrap();
    there.go(&format!("{url}/approvals"));
    let other = if number == 99 { 10 } else { number + 1 };
    there.type_into(".code", &format!("{other}\n"));
    there.text("#error");
    let refused = here.text("#message");
    assert!(refused.contains("another number"), "{refused}");
    here.picture("refused");

    // A denial is an alarm.
    ask();
    there.go(&format!("{url}/approvals"));
    there.click(".deny");
    let told = there.text("#done");
    assert!(told.contains("change it now"), "{told}");
    assert!(here.text("#message").contains("refused"));

    // Silence ends as well, and another way may be tried.
    ask();
    server.pass(protocol::factor::PATIENCE_S);
    let waiting = here.source();
    let (_, rest) = waiting.split_once("1;url=").unwrap();
    let (wait, _) = rest.split_once('"').unwrap();
    here.go(&format!("{url}{wait}"));
    let problem = here.text("#error");
    assert!(problem.contains("No answer came in time"), "{problem}");
    here.picture("timed-out");
    here.click("[data-value=PhoneAppOTP]");
    let code = otp(server.now());
    here.type_into("#idTxtBx_SAOTCC_OTC", &format!("{code}\n"));
    here.text("#factors");

    let log = audited(&server).await;
    let approvals: Vec<&str> = log
        .iter()
        .filter_map(|action| action.strip_prefix("approval."))
        .collect();
    assert_eq!(approvals, ["deny_alarm", "wrong_number", "approve"]);
}
