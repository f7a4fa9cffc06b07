//! Confirming at the server who somebody is: password, second factor, and the token they bring.
//!
//! A console has no browser, so that security keys are left out; everything else that the person has
//! is offered. Both factors are given anew in this very attempt (`ngcmfa`), by this device, and the code that
//! they bring is good only with a verifier that never left this process (PKCE).

use api::oauth::{ChallengeAnswer, ChallengeForm, OAuthError};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{Challenge, CodeExchange};
use model::Secret;
use protocol::{
    enroll::{Asked, Factor, FactorOutcome, Problem},
    factor::Method,
};

use crate::{Error, daemon::random_name, server::Server, text};

/// One step of an attempt.
pub(crate) enum Step {
    /// The person typed a factor.
    Typed(Factor, Secret<String>),
    /// The person wants to confirm in this way.
    Chosen(Method),
    /// Has somebody approved by now? Waits for it.
    Waited,
}

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

    /// Sends one step. `Approved` comes with the token.
    pub(crate) async fn send(
        &mut self,
        server: &Server,
        step: Step,
    ) -> Result<(FactorOutcome, Option<String>), Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match self.begin(server).await? {
                Ok(session) => session,
                Err(problem) => return Ok((FactorOutcome::Ended(problem), None)),
            },
        };
        let mut form = ChallengeForm {
            client_id: api::WORKSTATION_CLIENT.to_owned(),
            auth_session: Some(session),
            ..ChallengeForm::default()
        };
        match step {
            Step::Typed(factor, value) => {
                let field = match factor {
                    Factor::Password => &mut form.password,
                    Factor::Otp => &mut form.otp,
                    Factor::AccessPass => &mut form.tap,
                };
                *field = Some(value.expose().clone());
            }
            Step::Chosen(way) => form.factor = Some(way.as_str().to_owned()),
            Step::Waited => form.wait = Some(APPROVAL_WAIT_S),
        }
        let tenant = server.joined.tenant;
        match server.client.challenge(tenant, None, &form).await? {
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
            factors: Some(SHOWN.map(Method::as_str).join(" ")),
            ..ChallengeForm::default()
        };
        let credential = server.device_credential().await?;
        let tenant = server.joined.tenant;
        let asked = server.client.challenge(tenant, Some(&credential), &form);
        match asked.await? {
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
    let asked = match error.error_codes.as_slice() {
        [SECOND_FACTOR] => second_factor(&error, None),
        [WRONG_CODE] => second_factor(&error, Some(problem(error.clone()))),
        [WRONG_PASSWORD | ATTEMPT_OVER] => Asked::password(Some(problem(error))),
        // Locked, expired, out of reach: another try would only be one wrong try more.
        _ => return FactorOutcome::Ended(problem(error)),
    };
    FactorOutcome::Asked(asked)
}

/// What is asked after the password was right.
fn second_factor(error: &OAuthError, problem: Option<Problem>) -> Asked {
    if error.auth_session.is_none() {
        // The attempt is over, by a denial: there may be another one, from its beginning.
        return Asked::password(problem);
    }
    let state = error.confirmation.as_deref();
    let ways = state.map_or(&[][..], |state| &state.next).iter();
    let mut ways: Vec<Method> = ways.filter_map(|word| Method::of(word)).collect();
    ways.retain(|way| SHOWN.contains(way));
    let asked = error.factor.as_deref().and_then(Method::of);
    let factor = match asked {
        Some(Method::Otp) => Factor::Otp,
        Some(Method::AccessPass) => Factor::AccessPass,
        Some(Method::Approval) => {
            let number = state.and_then(|state| state.number);
            return Asked::Approval { number };
        }
        Some(Method::SecurityKey) | None => return Asked::Choice { ways, problem },
    };
    ways.retain(|way| Some(*way) != asked);
    Asked::Typed {
        factor,
        others: ways,
        problem,
    }
}

fn problem(error: OAuthError) -> Problem {
    let (number, sentence) = match error.error_description.split_once(": ") {
        Some((number, sentence)) if number.starts_with("AADSTS") => (number, sentence),
        _ => (error.error.as_str(), error.error_description.as_str()),
    };
    let state = error.confirmation.as_deref();
    let state = state.map_or("", |state| state.state.as_str());
    let code = match error.error_codes.as_slice() {
        [WRONG_PASSWORD] => "wrong_password",
        [WRONG_CODE] => match state {
            "denied" => "factor_denied",
            "timed_out" => "factor_timed_out",
            "unreachable" => "factor_unreachable",
            _ => "wrong_otp",
        },
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

/// What can be shown without a browser.
const SHOWN: [Method; 3] = [Method::Otp, Method::Approval, Method::AccessPass];

/// How long one question about an approval waits. The person sees the number all the while.
const APPROVAL_WAIT_S: u32 = 20;

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
            (
                50076,
                Some("otp"),
                "Asked(Typed { factor: Otp, others: [], problem: None",
            ),
            (50126, Some("password"), "Asked(Typed { factor: Password"),
            (50126, None, "Asked(Typed { factor: Password"),
            (
                500_121,
                Some("otp"),
                "Asked(Typed { factor: Otp, others: [], problem: Some",
            ),
            (
                500_121,
                None,
                "Asked(Typed { factor: Password, others: [], problem: Some",
            ),
            (70008, Some("otp"), "Asked(Typed { factor: Password"),
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
    fn the_ways_are_those_that_the_person_has_and_a_console_can_show() {
        let confirming = |code, factor: &str, state: &str| {
            let confirmation = Some(Box::new(api::oauth::ConfirmationState {
                state: state.to_owned(),
                next: ["webauthn", "approval", "otp"].map(str::to_owned).to_vec(),
                number: (factor == "approval").then_some(42),
                webauthn: None,
            }));
            let told = outcome(OAuthError {
                confirmation,
                ..error(code, Some(factor))
            });
            format!("{told:?}")
        };
        for (code, factor, state, meant) in [
            (
                50076,
                "otp",
                "contacting",
                "Asked(Typed { factor: Otp, others: [Approval], problem: None })",
            ),
            (
                50076,
                "",
                "choosing",
                "Asked(Choice { ways: [Approval, Otp], problem: None })",
            ),
            (
                50076,
                "approval",
                "contacting",
                "Asked(Approval { number: Some(42) })",
            ),
            (
                500_121,
                "",
                "timed_out",
                "Asked(Choice { ways: [Approval, Otp], problem: Some(Problem { code: \"factor_timed_out\"",
            ),
            (
                500_121,
                "",
                "unreachable",
                "Asked(Choice { ways: [Approval, Otp], problem: Some(Problem { code: \"factor_unreachable\"",
            ),
        ] {
            let told = confirming(code, factor, state);
            assert!(told.starts_with(meant), "{code} {factor} {state}: {told}");
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
