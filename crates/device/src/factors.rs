//! Confirming at the server who somebody is: password, one-time code, and the token they bring.
//!
//! Both factors are given anew in this very attempt (`ngcmfa`), by this device, and the code that
//! they bring is good only with a verifier that never left this process (PKCE).

use api::oauth::{ChallengeAnswer, ChallengeForm, OAuthError};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{Challenge, CodeExchange};
use model::Secret;
use protocol::enroll::{Factor, FactorOutcome, Problem};

use crate::{Error, daemon::random_name, server::Server, text};

/// One attempt of one person.
pub(crate) struct Attempt {
    upn: String,
    session: Option<String>,
    verifier: String,
}

impl Attempt {
    /// Of the account `upn`.
    pub(crate) fn new(upn: String) -> Result<Self, Error> {
        Ok(Self {
            upn,
            session: None,
            verifier: random_name()?,
        })
    }

    /// Sends one factor. `Approved` comes with the token.
    pub(crate) async fn send(
        &mut self,
        server: &Server,
        factor: Factor,
        value: &Secret<String>,
    ) -> Result<(FactorOutcome, Option<String>), Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match self.begin(server).await? {
                Ok(session) => session,
                Err(problem) => return Ok((FactorOutcome::Ended(problem), None)),
            },
        };
        let value = Some(value.expose().clone());
        let (password, otp) = match factor {
            Factor::Password => (value, None),
            Factor::Otp => (None, value),
        };
        let form = ChallengeForm {
            client_id: api::WORKSTATION_CLIENT.to_owned(),
            auth_session: Some(session),
            password,
            otp,
            ..ChallengeForm::default()
        };
        match self.challenge(server, &form).await? {
            Challenge::Approved(answer) => {
                let token = self.exchange(server, answer).await?;
                Ok((FactorOutcome::Approved, Some(token)))
            }
            Challenge::Asked { error, .. } => {
                if error.error_codes != [ATTEMPT_OVER] {
                    self.session = error.auth_session.clone();
                }
                Ok((outcome(error), None))
            }
        }
    }

    /// Names the person; answers the session, or why there is none.
    async fn begin(&self, server: &Server) -> Result<Result<String, Problem>, Error> {
        let challenge = openssl::sha::sha256(self.verifier.as_bytes());
        let form = ChallengeForm {
            client_id: api::WORKSTATION_CLIENT.to_owned(),
            username: Some(self.upn.clone()),
            resource: Some(api::REGISTRATION_AUDIENCE.to_owned()),
            code_challenge: Some(URL_SAFE_NO_PAD.encode(challenge)),
            amr_values: Some("ngcmfa".to_owned()),
            ..ChallengeForm::default()
        };
        match self.challenge(server, &form).await? {
            Challenge::Asked { mut error, .. } => match error.auth_session.take() {
                Some(session) => Ok(Ok(session)),
                None => Ok(Err(problem(error))),
            },
            // A server that asks for nothing has checked nothing.
            Challenge::Approved(_) => Ok(Err(Problem::new(
                "server_unfit",
                "The server approved without asking for a factor.",
            ))),
        }
    }

    async fn challenge(&self, server: &Server, form: &ChallengeForm) -> Result<Challenge, Error> {
        let credential = server.device_credential().await?;
        let tenant = server.joined.tenant;
        Ok(server.client.challenge(tenant, &credential, form).await?)
    }

    async fn exchange(&self, server: &Server, answer: ChallengeAnswer) -> Result<String, Error> {
        let exchange = CodeExchange {
            client_id: api::WORKSTATION_CLIENT,
            code: &answer.authorization_code,
            code_verifier: &self.verifier,
        };
        let answer = server.client.token(server.joined.tenant, &exchange).await?;
        Ok(answer.access_token)
    }
}

/// What it means that the server asks on, or does not.
fn outcome(error: OAuthError) -> FactorOutcome {
    let asks = match error.factor.as_deref() {
        Some("otp") => Factor::Otp,
        _ => Factor::Password,
    };
    match error.error_codes.as_slice() {
        [SECOND_FACTOR] => FactorOutcome::Next(asks),
        [WRONG_PASSWORD | WRONG_CODE] => FactorOutcome::Again(asks, problem(error)),
        [ATTEMPT_OVER] => FactorOutcome::Again(Factor::Password, problem(error)),
        // Locked, expired, out of reach: another try would only be one wrong try more.
        _ => FactorOutcome::Ended(problem(error)),
    }
}

fn problem(error: OAuthError) -> Problem {
    let (number, sentence) = match error.error_description.split_once(": ") {
        Some((number, sentence)) if number.starts_with("AADSTS") => (number, sentence),
        _ => (error.error.as_str(), error.error_description.as_str()),
    };
    let code = match error.error_codes.as_slice() {
        [WRONG_PASSWORD] => "wrong_password",
        [WRONG_CODE] => "wrong_otp",
        [LOCKED] => "factor_locked",
        [DISABLED] => "account_revoked",
        [EXPIRED] => "password_expired",
        [NO_AGENT] => "agent_unreachable",
        _ => number,
    };
    Problem {
        code: code.to_owned(),
        sentence: text::as_sentence(sentence),
        retry_after_s: error.retry_after_s,
    }
}

/// AADSTS50076: the second factor is asked for.
const SECOND_FACTOR: u32 = 50076;
/// AADSTS50126: invalid user name or password.
const WRONG_PASSWORD: u32 = 50126;
/// AADSTS500121: the second factor was wrong.
const WRONG_CODE: u32 = 500_121;
/// AADSTS50053: too many wrong tries for now.
const LOCKED: u32 = 50053;
/// AADSTS50057: the account may not sign in.
const DISABLED: u32 = 50057;
/// AADSTS50055: the password has expired.
const EXPIRED: u32 = 50055;
/// AADSTS90033: no agent or no directory in reach.
const NO_AGENT: u32 = 90033;
/// AADSTS70008: the attempt has lapsed.
const ATTEMPT_OVER: u32 = 70008;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u32, factor: Option<&str>) -> OAuthError {
        OAuthError {
            error: "insufficient_authorization".to_owned(),
            error_description: format!("AADSTS{code}: a sentence"),
            error_codes: vec![code],
            timestamp: String::new(),
            trace_id: String::new(),
            auth_session: factor.map(|_| "s".to_owned()),
            factor: factor.map(str::to_owned),
            confirmation: None,
            retry_after_s: None,
            device_deleted: None,
        }
    }

    #[test]
    fn the_number_says_whether_another_try_makes_sense() {
        for (code, asked, meant) in [
            (50076, Some("otp"), "Next(Otp)"),
            (50126, Some("password"), "Again(Password"),
            (50126, None, "Again(Password"),
            (500_121, Some("otp"), "Again(Otp"),
            (70008, Some("otp"), "Again(Password"),
            (50053, Some("password"), "Ended("),
            (50053, Some("otp"), "Ended("),
            (50055, Some("password"), "Ended("),
            (90033, Some("password"), "Ended("),
        ] {
            let told = format!("{:?}", outcome(error(code, asked)));
            assert!(told.starts_with(meant), "{code} {asked:?}: {told}");
        }
    }

    #[test]
    fn a_problem_has_a_code_of_our_own_and_the_sentence_without_its_number() {
        for (number, code) in [
            (50126, "wrong_password"),
            (500_121, "wrong_otp"),
            (50053, "factor_locked"),
            (90033, "agent_unreachable"),
            (50155, "AADSTS50155"),
        ] {
            let problem = problem(error(number, None));
            assert_eq!(
                (problem.code.as_str(), problem.sentence.as_str()),
                (code, "A sentence.")
            );
        }
    }
}
